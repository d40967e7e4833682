"""What was signed, for a service that has lost what it had.

Bytes that were given to it are no secret from it. A freeze does not stop it.
"""

from typing import Any

from custody.core.serialization import dumps_text, loads
from custody.keys.refusal import require
from custody.keys.store import Binding, Signed, Store

PAGE, PAGE_BYTES = 50, 2**19
"""An answer is one line of at most 1 MiB, which a few large batches fill."""


class History:
    """The bindings of nonces, with all bytes that exist at each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self, chain_id: int, sender: str, first_nonce: int) -> list[dict[str, Any]]:
        """At most PAGE nonces of an address, ascending; fewer where they have many bytes."""
        require(0 <= first_nonce < 2**63, "bad_request", "first_nonce: out of range")
        page: list[dict[str, Any]] = []
        size = 0
        for binding in self._store.bindings_from(chain_id, sender, first_nonce, PAGE):
            entry = self._entry(binding)
            size += len(dumps_text(entry))
            if page and size > PAGE_BYTES:
                break
            page.append(entry)
        return page

    def _entry(self, b: Binding) -> dict[str, Any]:
        body, decision = self._store.body(b.intent) or (None, None)
        return {
            "nonce": str(b.nonce),
            "intent": b.intent,
            "digest": b.digest,
            "body": None if body is None else loads(body),
            "decision": None if decision is None else loads(decision),
            "payments": [_bytes(s) for s in self._store.signed(b.intent)],
            "cancels": [_bytes(s) for s in self._store.cancels(b.intent)],
        }


def _bytes(signed: Signed) -> dict[str, str]:
    return {"raw": signed.raw, "tx_hash": signed.tx_hash}

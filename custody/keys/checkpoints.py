"""Checkpoints: the signer is the log's first witness.

Sizes grow, a size has one root for ever, and a larger tree has the last one that was signed as its
prefix (RFC 9162 consistency proof). So a database that came back from a backup gets no signature
for another history of the log. A freeze does not stop it: evidence must go on when money stops.
"""

import base64
from collections.abc import Sequence

from custody.audit import merkle
from custody.core.ports import CHECKPOINT_OLD
from custody.keys.keyring import Keyring
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store


class Checkpoints:
    """Signs note bodies (c2sp.org/tlog-checkpoint) with the log's key."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store, self._keyring = store, keyring

    def sign(self, origin: str, size: int, root: bytes, old: int, proof: Sequence[bytes]) -> bytes:
        """The root is stored before it is signed. The same size: the same bytes, without a proof.

        Raises Refusal; of rule `checkpoint_old` with the size that the proof must be from.
        """
        require(origin == self._keyring.origin, "origin", "is not this log's origin")
        require(0 <= size < 2**63 and len(root) == 32, "bad_request", "size or root out of range")
        with self._store.transaction():
            known = self._store.checkpoint(origin, size)
            if known is None:
                self._require_goes_on(origin, size, root, old, proof)
                self._store.add_checkpoint(origin, size, root)
            require(known in (None, root), "checkpoint_fork", "this size has another root")
        body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        return self._keyring.sign_note(body.encode())

    def _require_goes_on(
        self, origin: str, size: int, root: bytes, old: int, proof: Sequence[bytes]
    ) -> None:
        last = self._store.checkpoint_size(origin)
        require(size > last, "checkpoint_size", "a larger checkpoint was signed before")
        last_root = self._store.checkpoint(origin, last)
        if last_root is None or last == 0:  # the first, or after a tree of nothing
            return
        require(old == last, CHECKPOINT_OLD, str(last))
        try:
            merkle.verify_consistency(last, size, last_root, root, proof)
        except merkle.ProofInvalid as error:
            detail = f"is no continuation of the log of {last} entries that was signed: {error}"
            raise Refusal("checkpoint_fork", detail) from error

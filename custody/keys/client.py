"""The service's side of the signer: `custody.core.ports.Signer` over its unix socket.

One request a connection, one JSON object a line. Whatever goes wrong on the way is
SignerUnavailable: ask again, the answer is the same bytes. A frozen signer is unavailable too,
so that a kill switch holds intents back and does not fail them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custody.core.governance import Address, Signature
from custody.core.intents import Decision, Intent
from custody.core.ownership import Statement
from custody.core.ports import (
    Fees,
    SignedTransaction,
    SignerEntry,
    SignerRefused,
    SignerUnavailable,
)
from custody.core.serialization import dumps, loads

LINE_BYTES_MAX = 2**20
TIMEOUT_S = 10.0
FROZEN = "frozen"


class SignerClient:
    """Talks to the signer behind `socket`."""

    def __init__(self, socket: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket
        self._timeout_s = timeout_s

    async def sign(
        self, intent: Intent, decision: Decision, nonce: int, fees: Fees
    ) -> SignedTransaction:
        """Raises SignerRefused or SignerUnavailable. Same arguments: the same bytes."""
        answer = await self.request(
            "sign",
            intent=intent.to_json(),
            decision=decision.to_json(),
            nonce=str(nonce),
            max_fee_per_gas=str(fees.max_fee_per_gas),
            max_priority_fee_per_gas=str(fees.max_priority_fee_per_gas),
        )
        return SignedTransaction(answer["raw"], answer["tx_hash"])

    async def sign_cancel(self, intent: Intent, nonce: int, fees: Fees) -> SignedTransaction:
        """Raises SignerRefused or SignerUnavailable. Same arguments: the same bytes."""
        answer = await self.request(
            "sign_cancel",
            intent=intent.to_json(),
            nonce=str(nonce),
            max_fee_per_gas=str(fees.max_fee_per_gas),
            max_priority_fee_per_gas=str(fees.max_priority_fee_per_gas),
        )
        return SignedTransaction(answer["raw"], answer["tx_hash"])

    async def history(self, chain_id: int, sender: str, first_nonce: int) -> list[SignerEntry]:
        """All nonces of an address from `first_nonce` on, in order; asked page by page."""
        found: list[SignerEntry] = []
        while True:
            answer = await self.request(
                "history", chain_id=str(chain_id), sender=sender, first_nonce=str(first_nonce)
            )
            page = [_entry(row) for row in answer["entries"]]
            found += page
            if not page:
                return found
            first_nonce = page[-1].nonce + 1

    async def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        """The raw 64-byte Ed25519 signature over the note body."""
        answer = await self.request(
            "sign_checkpoint",
            origin=origin,
            size=str(size),
            root=root.hex(),
            old=str(old),
            proof=[h.hex() for h in proof],
        )
        return bytes.fromhex(answer["signature"])

    async def sign_ownership(self, tenant: str, path: str, statement: Statement) -> bytes:
        """65 bytes r, s, v over the statement, by the tenant's key at `path`. The signer writes the
        text itself, with its own log's name. Same arguments: the same bytes."""
        answer = await self.request(
            "sign_ownership",
            tenant=tenant,
            path=path,
            epoch=str(statement.epoch),
            challenge=statement.challenge.hex(),
            chain_id=str(statement.chain_id),
            address=statement.address,
            by=statement.by,
        )
        return bytes.fromhex(answer["signature"])

    async def last_epoch(self, tenant: str) -> int:
        """The last epoch of its solvency that the signer has said something of; 0 if none."""
        said = (await self.status())["tenants"]
        return next((int(t["solvency_epoch"]) for t in said if t["tenant"] == tenant), 0)

    async def account_xpub(self, account_index: int) -> str:
        answer = await self.request("account_xpub", account=account_index)
        return str(answer["xpub"])

    async def status(self) -> dict[str, Any]:
        """Frozen or not, tenants with policy version and hash, and the bound of each asset."""
        return await self.request("status")

    async def freeze(self) -> str:
        """Stop all signing of transactions, at once and across restarts; when it was frozen."""
        return str((await self.request("freeze"))["frozen_at"])

    async def unfreeze(self, person: str, signature: str) -> None:
        """`signature` is an enrolled person's over `people.unfreeze_payload`."""
        await self.request("unfreeze", person=person, signature=signature)

    async def load_policy(self, signed: Mapping[str, Any]) -> str:
        """Give the signer a policy signed by the authority; its hash. The same again is fine."""
        return str((await self.request("load_policy", signed=dict(signed)))["hash"])

    async def enrol(self, signed: Mapping[str, Any]) -> int:
        """Give the signer a change of people or tenants signed by the authority; its version."""
        return int((await self.request("enrol", signed=dict(signed)))["version"])

    async def veto(self, tenant: str, what: str, hash_: str, by: Signature) -> None:
        """Stop a change that waits. `by` is over `governance.veto_payload`."""
        await self.request("veto", tenant=tenant, changes=what, hash=hash_, by=by.to_json())

    async def add_address(
        self, entry: Address, signature: str, consents: Sequence[Signature] = ()
    ) -> int:
        """Since when, by the signer's clock in Unix seconds, the entry is in its book."""
        answer = await self.request(
            "add_address",
            entry=entry.to_json(),
            signature=signature,
            consents=[c.to_json() for c in consents],
        )
        return int(answer["since_s"])

    async def remove_address(self, tenant: str, entry: str, by: Signature) -> None:
        """`by` is over `governance.removal_payload`."""
        await self.request("remove_address", tenant=tenant, entry=entry, by=by.to_json())

    async def freeze_scope(self, tenant: str, scope: str, value: str) -> tuple[str, str]:
        """Stop one tenant, asset or destination, across restarts: the freeze's id and time."""
        answer = await self.request("freeze_scope", tenant=tenant, scope=scope, value=value)
        return str(answer["freeze"]), str(answer["frozen_at"])

    async def lift(self, tenant: str, freeze: str, signatures: Sequence[Signature]) -> None:
        """Each signature is over `governance.lift_payload`."""
        signed = [x.to_json() for x in signatures]
        await self.request("lift", tenant=tenant, freeze=freeze, signatures=signed)

    async def request(self, op: str, **fields: object) -> dict[str, Any]:
        """One question, one answer. Raises SignerRefused or SignerUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                line = await self._exchange(dumps({"op": op, **fields}))
            answer = loads(line)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise SignerUnavailable(f"{op}: {type(error).__name__}") from error
        return _opened(op, answer)

    async def _exchange(self, question: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=LINE_BYTES_MAX)
        try:
            writer.write(question + b"\n")
            await writer.drain()
            return await reader.readuntil(b"\n")
        finally:
            writer.close()


def _entry(row: dict[str, Any]) -> SignerEntry:
    payments, cancels = (
        tuple(SignedTransaction(v["raw"], v["tx_hash"]) for v in row[name])
        for name in ("payments", "cancels")
    )
    return SignerEntry(
        int(row["nonce"]),
        row["intent"],
        row["digest"],
        row["body"],
        row["decision"],
        payments,
        cancels,
    )


def _opened(op: str, answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or answer.get("answer") not in ("done", "refused"):
        raise SignerUnavailable(f"{op}: the signer could not answer")
    if answer["answer"] == "done":
        return answer
    if answer["rule"] == FROZEN:
        raise SignerUnavailable(f"{op}: the signer is frozen: {answer['detail']}")
    raise SignerRefused(answer["rule"], answer["detail"])

"""All bytes that were ever signed for an intent: the first ones, dearer ones, and the cancel.

They share chain, sender and nonce, so at most one is ever mined. Every one is stored before it is
broadcast and looked for until one is final: a cheaper version may be mined after a dearer one left.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chains.evm.transactions import decode_raw
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import IntentId
from custody.core.intents import Intent
from custody.core.ports import Fees, SignedTransaction


class Purpose(StrEnum):
    PAY = "pay"  # what the intent says
    CANCEL = "cancel"  # nothing to oneself, so that the nonce is used up


@dataclass(frozen=True, slots=True)
class Version:
    """Signed bytes; `state` is open, settled or replaced."""

    tx_hash: str
    raw: str
    purpose: Purpose
    state: str
    created_at: datetime

    @property
    def fees(self) -> Fees:
        """Read from the bytes, which are what pays: a column could say something else."""
        t = decode_raw(self.raw).transaction
        return Fees(t.max_fee_per_gas, t.max_priority_fee_per_gas)


async def store(
    s: WriteSession,
    intent: Intent,
    nonce: int,
    signed: SignedTransaction,
    purpose: Purpose,
    *,
    at: datetime,
) -> bool:
    """Keep bytes; False if they were known. Raises Broken if they are not what was asked for.

    The signer is trusted with keys, not believed about bytes: a version of another nonce or
    content would be a second payment.
    """
    _check(intent, nonce, signed, purpose)
    result = await s.execute(
        "INSERT INTO transfer_versions (chain_id, tx_hash, tenant_id, intent_id, purpose, raw,"
        " created_at) VALUES (:chain, :tx, :tenant, :intent, :purpose, :raw, :at)"
        " ON CONFLICT (chain_id, tx_hash) DO NOTHING",
        {
            "chain": intent.chain_id,
            "tx": signed.tx_hash,
            "tenant": intent.tenant_id,
            "intent": intent.id,
            "purpose": purpose.value,
            "raw": signed.raw,
            "at": at,
        },
    )
    return result.rowcount == 1


def _check(intent: Intent, nonce: int, signed: SignedTransaction, purpose: Purpose) -> None:
    read = decode_raw(signed.raw)
    t = read.transaction
    content = (intent.to, intent.value, intent.data)
    meant = [(intent.chain_id, d.delegate, d.nonce) for d in intent.delegations]
    if purpose is Purpose.CANCEL:
        content, meant = (intent.sender, 0, "0x"), []
    carried = [(a.chain_id, a.delegate, a.nonce) for a in t.authorizations]
    if (
        carried != meant
        or (t.to, t.value, "0x" + t.data.hex()) != content
        or (
            t.chain_id,
            read.sender,
            t.nonce,
            read.hash,
        )
        != (intent.chain_id, intent.sender, nonce, signed.tx_hash)
    ):
        raise Broken(f"the signer's bytes are not the {purpose.value} of intent {intent.id}")


async def of(s: ReadSession, intent_id: IntentId) -> list[Version]:
    """Every version of an intent, oldest first."""
    rows = await s.all(
        "SELECT tx_hash, raw, purpose, state, created_at FROM transfer_versions"
        " WHERE intent_id = :id ORDER BY created_at, tx_hash",
        {"id": intent_id},
    )
    return [Version(r.tx_hash, r.raw, Purpose(r.purpose), r.state, r.created_at) for r in rows]


def dearest(found: list[Version]) -> Version:
    """The one that nodes take in place of all others. Requires at least one."""
    return max(found, key=lambda v: v.fees.max_fee_per_gas)


def is_cancel(raw: str) -> bool:
    """Whether these bytes move nothing to the sender itself."""
    read = decode_raw(raw)
    t = read.transaction
    return (t.to, t.value, t.data) == (read.sender, 0, b"")


async def settle(s: WriteSession, intent_id: IntentId, tx_hash: str) -> None:
    """One version is final, so the others can never be."""
    await s.execute(
        "UPDATE transfer_versions SET state ="
        " CASE WHEN tx_hash = :tx THEN 'settled' ELSE 'replaced' END WHERE intent_id = :id",
        {"id": intent_id, "tx": tx_hash},
    )

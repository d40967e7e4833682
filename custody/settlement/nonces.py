"""Nonces come from our database, row-locked per chain and address; the node is only compared with.

A nonce is bound to an intent in commit 2, before the signer is asked. It is handed back only when
the signer has refused (which means it has signed nothing) and no later nonce was bound.
"""

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import IntentId, TenantId
from custody.settlement.states import PENDING, IntentState, move


async def bind(
    s: WriteSession,
    tenant_id: TenantId,
    intent_id: IntentId,
    chain_id: int,
    sender: str,
    pending_max: int,
) -> int | None:
    """Bind the next nonce of `sender` to a queued intent.

    None if the intent had moved on, or `pending_max` of the sender's wait for a block: beyond that
    nodes drop transactions.
    """
    key = {"chain": chain_id, "address": sender}
    await s.execute(
        "INSERT INTO nonces (chain_id, address, tenant_id, next_nonce)"
        " VALUES (:chain, :address, :tenant, 0) ON CONFLICT DO NOTHING",
        {**key, "tenant": tenant_id},
    )
    nonce = await s.scalar(
        "SELECT next_nonce FROM nonces WHERE chain_id = :chain AND address = :address FOR UPDATE",
        key,
    )
    if await pending(s, chain_id, sender) >= pending_max:
        return None
    if not await move(s, intent_id, IntentState.QUEUED, IntentState.BOUND, nonce=nonce):
        return None
    await s.execute(
        "UPDATE nonces SET next_nonce = :next WHERE chain_id = :chain AND address = :address",
        {**key, "next": nonce + 1},
    )
    return int(nonce)


async def pending(s: ReadSession, chain_id: int, sender: str) -> int:
    """How many intents of a sender have a nonce that no block is known to have used."""
    return int(
        await s.scalar(
            "SELECT count(*) FROM intents WHERE chain_id = :chain AND sender = :sender"
            " AND state = ANY(:pending)",
            {
                "chain": chain_id,
                "sender": sender,
                "pending": [state.value for state in PENDING],
            },
        )
    )


async def hand_back(s: WriteSession, chain_id: int, sender: str, nonce: int) -> bool:
    """Undo a bind after the signer refused; False if a later nonce is bound already."""
    result = await s.execute(
        "UPDATE nonces SET next_nonce = :nonce"
        " WHERE chain_id = :chain AND address = :address AND next_nonce = :nonce + 1",
        {"nonce": nonce, "chain": chain_id, "address": sender},
    )
    return result.rowcount == 1

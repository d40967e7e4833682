"""What a payout would do, seen before people approve it, and again before it gets its nonce.

If what it does then is not what was seen, or not what it is for, it is not bound: it keeps its
place for WAIT, since a wallet may be filled or a token thawed, and is then refused, so that the
hold is let go. Only payouts are simulated: all else ends at places of ours.
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any

from chains.evm import simulate
from chains.evm.simulate import NATIVE, Asked, Effects, Moved
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import IntentId
from custody.core.intents import Intent, IntentKind
from custody.core.isolation import each
from custody.core.serialization import dumps_text
from custody.settlement import intents
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState, move

logger = logging.getLogger(__name__)

WAIT = timedelta(minutes=5)
APPROVAL, SIGNING = "approval", "signing"
_UNSEEN = """
SELECT i.id, i.tenant_id FROM intents i WHERE i.state = ANY(:states) AND i.kind = 'payout'
  AND NOT EXISTS (SELECT FROM intent_simulations x WHERE x.intent_id = i.id)
ORDER BY i.created_at LIMIT 200
"""
_STATES = ["awaiting_approval", "approved", "queued"]
_PUT = """
INSERT INTO intent_simulations AS x (intent_id, purpose, block_number, block_hash, effects, digest,
  fault, faulty_since, simulated_at)
VALUES (:intent, :purpose, :number, :hash, CAST(:effects AS jsonb), :digest, :fault, :since, :at)
ON CONFLICT (intent_id, purpose) DO UPDATE SET block_number = excluded.block_number,
  block_hash = excluded.block_hash, effects = excluded.effects, digest = excluded.digest,
  fault = excluded.fault, simulated_at = excluded.simulated_at,
  faulty_since = CASE WHEN excluded.fault IS NULL THEN NULL
    ELSE coalesce(x.faulty_since, excluded.faulty_since) END
RETURNING faulty_since
"""


def fault_of(intent: Intent, token: str | None, effects: Effects) -> str | None:
    """Why these are not the effects that the payout is for; None if they are. Pure.

    Checks in this order: reverts, pays other than the amount, approves, moves more.
    """
    if not effects.succeeds:
        return "reverts"
    unpaid = effects.received is not None and effects.received != intent.amount
    if effects.returned_false or unpaid:
        return "pays_otherwise"
    if effects.approvals:
        return "approves"
    own = Moved(token or NATIVE, intent.sender, intent.beneficiary, intent.amount)
    ours = [t for t in effects.transfers if t.sender == intent.sender]
    return None if ours in ([], [own]) else "moves_more"


def digest_of(effects: Effects) -> str:
    return "sha256:" + hashlib.sha256(canonical.encode(effects.to_json())).hexdigest()


async def step(deps: SettlementDeps) -> int:
    """Look at each payout once, soon after it was asked for."""
    async with deps.db.read() as s:
        found = await s.all(_UNSEEN, {"states": _STATES})
        rows = [await intents.get(s, r.tenant_id, r.id) for r in found]

    async def look(row: IntentRow) -> bool:
        await _look(deps, row.intent, APPROVAL, None)
        return True

    return await each(logger, "simulation", rows, look)


async def still_does(deps: SettlementDeps, row: IntentRow) -> bool:
    """Whether a queued intent may be bound. If not, the row says why, or is refused by now.

    Raises ChainError where the chain does not answer. Must not run within a transaction.
    """
    if row.intent.kind is not IntentKind.PAYOUT or row.intent.payouts:
        return True
    async with deps.db.read() as s:
        before = await s.first(
            "SELECT digest, fault, effects->>'form' AS form FROM intent_simulations"
            " WHERE intent_id = :id AND purpose = :purpose",
            {"id": row.intent.id, "purpose": APPROVAL},
        )
    return await _look(deps, row.intent, SIGNING, before)


async def seen(s: ReadSession, intent_id: IntentId) -> list[dict[str, Any]]:
    """What was seen of an intent, for those who approve it: before approval, before signing."""
    rows = await s.all(
        "SELECT purpose, block_number, block_hash, effects, digest, fault, simulated_at"
        " FROM intent_simulations WHERE intent_id = :id ORDER BY purpose",
        {"id": intent_id},
    )
    return [
        {
            "purpose": r.purpose,
            "block_number": r.block_number,
            "block_hash": r.block_hash,
            "effects": r.effects,
            "digest": r.digest,
            "fault": r.fault,
            "simulated_at": iso_us(r.simulated_at),
        }
        for r in rows
    ]


async def _look(deps: SettlementDeps, intent: Intent, purpose: str, before: Any) -> bool:
    """Simulate on the newest block and keep it; whether nothing is wrong with it."""
    token = deps.registry.asset(intent.asset_id).address
    client = deps.clients[intent.chain_id]
    block = await client.block("latest")
    asked = Asked(
        intent.sender,
        intent.to,
        intent.value,
        intent.data,
        intent.gas_limit,
        token,
        intent.beneficiary,
    )
    effects = await simulate.effects_of(client, asked, block)
    digest, fault = digest_of(effects), fault_of(intent, token, effects)
    # What failed then may be right now: a wallet is filled after approval, not before.
    comparable = before is not None and before.fault is None and before.form == effects.form.value
    if fault is None and comparable and before.digest != digest:
        fault = "differs"
    now = deps.clock.now()
    values = {
        "intent": intent.id,
        "purpose": purpose,
        "number": block.number,
        "hash": block.hash,
        "effects": dumps_text(effects.to_json()),
        "digest": digest,
        "fault": fault,
        "since": None if fault is None else now,
        "at": now,
    }
    async with deps.db.write() as s:
        since = await s.scalar(_PUT, values)
        if purpose == SIGNING:
            await _mark(s, deps, intent, fault, expired=since is not None and now - since > WAIT)
    return fault is None


async def _mark(
    s: WriteSession, deps: SettlementDeps, intent: Intent, fault: str | None, *, expired: bool
) -> None:
    """Say on the row why it waits; after WAIT refuse it, with its hold let go."""
    reason = None if fault is None else f"simulation_{fault}"
    if reason is not None and expired:
        state = IntentState.QUEUED
        if await move(s, intent.id, state, IntentState.REFUSED, reason=reason):
            await deps.effects.of(intent.kind).on_failed(s, intent, reason, None)
            await intents.log_failed(s, intent, reason, at=deps.clock.now())
        return
    await s.execute(
        "UPDATE intents SET reason = :reason WHERE id = :id AND state = 'queued'"
        " AND reason IS DISTINCT FROM :reason",
        {"reason": reason, "id": intent.id},
    )

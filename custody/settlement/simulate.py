"""What a payout would do, seen before people approve it, and again before it gets its nonce.

If what it does then is not what was seen, or not what it is for, it is not bound: it keeps its
place for WAIT, since a wallet may be filled or a token thawed, and is then refused, so that the
hold is let go. Only payouts are simulated, one or many: all else ends at places of ours. For those
who approve, the wallet is filled and the batch contract allowed first, as it will be by then.
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any

from chains.evm import simulate
from chains.evm.contracts import erc20, payouts
from chains.evm.simulate import NATIVE, Asked, Effects, Moved
from chains.types import BlockRef
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import IntentId
from custody.core.intents import Intent, IntentKind
from custody.core.isolation import each
from custody.core.serialization import dumps_text
from custody.parties import places
from custody.settlement import intents
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState, move

logger = logging.getLogger(__name__)

WAIT = timedelta(minutes=5)
APPROVAL, SIGNING = "approval", "signing"
SEEN = (IntentKind.PAYOUT, IntentKind.PAYOUT_BATCH)
_UNSEEN = """
SELECT i.id, i.tenant_id FROM intents i WHERE i.state = ANY(:states) AND i.kind = ANY(:kinds)
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

    Checks in this order: reverts, pays other than the amount, approves, moves more. A batch may
    skip a payout, if its contract says so: that money stays.
    """
    if not effects.succeeds:
        return "reverts"
    unpaid = effects.received is not None and effects.received != _due(intent, effects)
    if effects.returned_false or unpaid:
        return "pays_otherwise"
    used_up = Moved(token or NATIVE, intent.sender, intent.to, 0)
    if [a for a in effects.approvals if not (intent.payouts and a == used_up)]:
        return "approves"
    own = Moved(token or NATIVE, intent.sender, intent.beneficiary, intent.amount)
    ours = [t for t in effects.transfers if t.sender == intent.sender]
    return None if ours in ([], [own]) else "moves_more"


def payees(intent: Intent) -> tuple[str, ...]:
    """Each once, in order."""
    if not intent.payouts:
        return (intent.beneficiary,)
    return tuple(dict.fromkeys(p.recipient for p in intent.payouts))


def _due(intent: Intent, effects: Effects) -> tuple[int, ...] | None:
    """What each payee has to get, base units; None where a batch's events do not tell of it."""
    if not intent.payouts:
        return (intent.amount,)
    made = [payouts.Payout(p.recipient, p.amount) for p in intent.payouts]
    try:
        seen = payouts.paid_batch(effects.logs, intent.to, intent.sender, intent.id.int)
    except ValueError:
        return None
    if seen is None or seen.digest != payouts.digest(made):
        return None
    due = dict.fromkeys(payees(intent), 0)
    skipped = {x.index for x in seen.skipped}
    for index, payout in enumerate(made):
        due[payout.recipient] += 0 if index in skipped else payout.amount
    return tuple(due.values())


def digest_of(effects: Effects) -> str:
    return "sha256:" + hashlib.sha256(canonical.encode(effects.to_json())).hexdigest()


async def step(deps: SettlementDeps) -> int:
    """Look at each payout once, soon after it was asked for."""
    async with deps.db.read() as s:
        found = await s.all(_UNSEEN, {"states": _STATES, "kinds": [kind.value for kind in SEEN]})
        rows = [await intents.get(s, r.tenant_id, r.id) for r in found]

    async def look(row: IntentRow) -> bool:
        await _look(deps, row.intent, APPROVAL, None)
        return True

    return await each(logger, "simulation", rows, look)


async def still_does(deps: SettlementDeps, row: IntentRow) -> bool:
    """Whether a queued intent may be bound. If not, the row says why, or is refused by now.

    Raises ChainError where the chain does not answer. Must not run within a transaction.
    """
    if row.intent.kind not in SEEN:
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
        payees(intent),
        await _prior(deps, intent, token, block) if purpose == APPROVAL else (),
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


async def _prior(
    deps: SettlementDeps, intent: Intent, token: str | None, block: BlockRef
) -> tuple[dict[str, str], ...]:
    """The payout wallet's fill from the treasury, and the allowance of a batch of a token.

    A node breaks off the whole simulation over ether that is not there, so that is looked at first.
    """
    if intent.sender_path != places.PATHS[places.PAYOUT]:
        return ()
    async with deps.db.read() as s:
        treasury = await places.place(s, intent.tenant_id, intent.chain_id, places.TREASURY)
    if token is None:
        there = await deps.clients[intent.chain_id].balance(treasury.address, block)
        fill = {"from": treasury.address, "to": intent.sender, "value": hex(intent.amount)}
        return (fill,) if there >= intent.amount else ()
    data = erc20.erc20_transfer(intent.sender, intent.amount)
    fill = {"from": treasury.address, "to": token, "data": "0x" + data.hex()}
    if not intent.payouts:
        return (fill,)
    data = erc20.erc20_approve(intent.to, intent.amount)
    return fill, {"from": intent.sender, "to": token, "data": "0x" + data.hex()}


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

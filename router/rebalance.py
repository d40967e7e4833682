"""Plans made real: when to plan, and legs started in order, exits first.

Each leg is one transaction that stores its intent, its hold on the guard's account and its new
state; a job that dies before that commit has done nothing, and after it everything.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from chains.errors import ChainError
from chains.evm.contracts.staking import Staking
from custody.core.db import WriteSession
from custody.core.errors import InsufficientFunds, Refused, Unavailable
from custody.core.ids import new_uuid7
from custody.core.isolation import each
from custody.ledger import chart
from custody.ledger.posting import post_or_raise
from custody.parties import places
from custody.settlement import intents
from router import (
    bars,
    books,
    fitting,
    journals,
    legs,
    live_guard,
    orders,
    owed,
    plan,
    policies,
    venue_exits,
    waiting,
)
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.live_guard import Verdict
from router.moves import Action
from router.objections import Code, Objection, codes_of, text_of
from router.states import LEG_ENDS, LegState, PlanState, PoolState, move

logger = logging.getLogger(__name__)

ENTER_CODE = "pool.allocate"
SLOW = (LegState.QUEUED, LegState.CLAIMING, LegState.WAITING)
"""An exit that waits in a venue's queue or for the venue; entries do not wait for it."""


async def step(deps: RouterDeps) -> int:
    """Start what can start, close plans that are through, plan where it is time."""
    async with deps.db.read() as s:
        pools = await books.pools(s)
    moved = await each(logger, "legs to start", pools, lambda pool: _start_legs(deps, pool))
    moved += await each(logger, "plans to close", pools, lambda pool: _close_plans(deps, pool))
    return moved + await each(logger, "planning", pools, lambda pool: _plan(deps, pool))


async def _plan(deps: RouterDeps, pool: Pool) -> bool:
    async with deps.db.read() as s:
        if not await plan.due(s, deps, pool):
            return False
    try:
        made = await plan.draft(deps, pool.tenant_id, pool.id)
    except (ChainError, Refused) as error:
        logger.warning("no plan", extra={"pool": pool.id, "error": error})
        return False
    async with deps.db.write() as s:
        mute = await plan.fallen_silent(s, deps, made)
        if mute:
            logger.warning("no plan: a venue does not answer", extra={"venues": mute})
            return False
        return await plan.store(s, deps, made) is not None


async def _close_plans(deps: RouterDeps, pool: Pool) -> int:
    async with deps.db.read() as s:
        rows = await s.all(
            "SELECT p.id FROM plans p WHERE p.pool_id = :pool AND p.state = 'open' AND NOT EXISTS"
            " (SELECT FROM legs l WHERE l.plan_id = p.id AND l.state <> ALL(:ends))",
            {"pool": pool.id, "ends": [e.value for e in LEG_ENDS]},
        )
    if not rows:
        return 0
    async with deps.db.write() as s:
        for row in rows:
            await move(s, "plans", row.id, PlanState.OPEN, PlanState.DONE)
    return len(rows)


async def _start_legs(deps: RouterDeps, pool: Pool) -> int:
    async with deps.db.read() as s:
        open_legs = await legs.unfinished(s, pool.id)
        rows = {row.id: row for row in await books.venues(s, pool.id)}
    now = deps.clock.now()
    waiting = [leg for leg in open_legs if leg.due(now)]
    busy = {leg.venue_id for leg in open_legs if leg.state not in (LegState.PLANNED, *SLOW)}
    due: list[Leg] = []
    for leg in sorted(waiting, key=lambda leg: leg.action is not Action.EXIT):
        row = rows[leg.venue_id]
        if leg.venue_id in busy or (leg.action is Action.EXIT and row.exchange):
            continue  # one move a venue at a time; exchange exits are router/exchange.py's
        if leg.action is Action.ENTER and _exits_before(leg, open_legs, now):
            continue
        busy.add(leg.venue_id)
        due.append(leg)
    return await each(logger, "leg", due, lambda leg: _start(deps, pool, rows[leg.venue_id], leg))


def _exits_before(entry: Leg, open_legs: list[Leg], now: datetime) -> bool:
    """Whether an exit is under way that the entry waits for: of its own plan, or just starting.

    Not for one that is merely slow, nor for ever: what an exit lacks, the entry's money check says.
    """
    return any(
        other.action is Action.EXIT
        and other.state not in SLOW
        and (other.plan_id == entry.plan_id or other.state in plan.STARTING)
        and now - other.created_at < plan.PATIENCE
        for other in open_legs
    )


async def _start(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> bool:
    try:
        if leg.action is Action.EXIT:
            return await venue_exits.start(deps, pool, row, leg)
        return await _start_entry(deps, pool, row, leg)
    except InsufficientFunds:
        lacking = Objection(Code.NO_MONEY, "the guard has less idle than planned")
        return await _end(deps, leg, LegState.CANCELLED, lacking)
    except Refused as error:
        return await _end(deps, leg, LegState.FAILED, Objection(Code.REFUSED, error.detail))
    except Unavailable as error:
        logger.error("leg waits", extra={"leg": leg.reference, "error": error})
        return False


async def _start_entry(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> bool:
    verdict = await live_guard.examine(deps, pool, row, leg)
    if verdict.objections:
        if await waiting.held_back(deps, pool, leg, verdict.objections):
            return False
        return await _end(deps, leg, LegState.CANCELLED, *verdict.objections)
    async with deps.db.write() as s:
        item = await books.pool(s, pool.tenant_id, pool.id, lock=True)
        against = (await bars.bars(s, pool.id)).get(row.id, ())
        changed = await policies.overtaken(s, pool.id, leg.plan_id)
        if against or changed or item.state != PoolState.OPEN:
            return False  # barred since the look: the next one says why
        policy = await policies.current(s, pool.id)
        found = (
            None if policy is None else await fitting.fit(s, item, policy, leg, deps.clock.now())
        )
        why = None if found is None else found.objection
        if why is None:
            most = leg.amount if found is None else found.room
            return await _enter(s, deps, item, row, leg, verdict, most)
    return await _end(deps, leg, LegState.CANCELLED, why)


async def _end(deps: RouterDeps, leg: Leg, new: LegState, *why: Objection) -> bool:
    reason, codes = text_of(why), codes_of(why)
    logger.warning("leg ended", extra={"leg": leg.reference, "code": codes, "reason": reason})
    async with deps.db.write() as s:
        return await legs.end(s, leg, new, reason, at=deps.clock.now(), code=codes)


async def _enter(
    s: WriteSession,
    deps: RouterDeps,
    pool: Pool,
    row: VenueRow,
    leg: Leg,
    verdict: Verdict,
    most: int,
) -> bool:
    """Intent, hold and state, for what is free and fits (`most`). Raises InsufficientFunds,
    Refused."""
    now, intent_id = deps.clock.now(), new_uuid7()
    amount = min(await _affordable(s, pool, leg, now), most)
    moved = await legs.advance(
        s, leg, LegState.EXECUTING, at=now, intent_id=intent_id, amount=amount, reason=None,
        code=None, gas_cost=verdict.costs.gas, slippage=verdict.costs.lost,
    )  # fmt: skip
    if not moved:
        return False
    shares_min = verdict.shares_min * amount // leg.amount
    leg = replace(leg, amount=amount)
    await _hold(s, pool, row, leg, now)
    allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    intent = orders.enter(pool, row, allocator, intent_id, amount, shares_min, leg.reference)
    await intents.create(s, intent, at=now)
    return True


async def _affordable(s: WriteSession, pool: Pool, leg: Leg, now: datetime) -> int:
    """The entry, or what of it is free now: without holds, redemptions and what the plan left idle.

    That is the buffer at least, and what ladders and frozen venues ask for. An exit that brought
    less than planned makes its entries smaller; it never makes them eat it. Raises
    InsufficientFunds below a ticket.
    """
    policy = await policies.current(s, pool.id)
    output = await s.scalar("SELECT output FROM plans WHERE id = :id", {"id": leg.plan_id})
    free = await books.available(s, pool, chart.guard(pool.id))
    free -= await owed.reserved(s, pool, now)
    free -= 0 if output is None else _left_idle(output)
    if policy is None or free < min(leg.amount, policy.rebalance.ticket):
        raise InsufficientFunds("amount", "redemptions and the buffer need the idle money")
    return min(leg.amount, free)


def _left_idle(output: Mapping[str, Any]) -> int:
    """What a plan leaves in the guard once all its legs have ended, redemptions paid."""
    return max(int(output["total"]) - sum(map(int, output["targets"].values())), 0)


async def _hold(s: WriteSession, pool: Pool, row: VenueRow, leg: Leg, now: datetime) -> None:
    guard = await books.account(s, pool, chart.guard(pool.id))
    if row.exchange:
        target = await books.in_flight(s, pool)
    else:
        target = await books.account(s, pool, books.venue_code(row))
    held = journals.held(
        pool, leg.hold_id, target, guard, leg.amount, ENTER_CODE, at=now, reference=leg.reference
    )
    await post_or_raise(s, [held])


async def claim_step(deps: RouterDeps) -> int:
    """Collect queued exits that have ripened."""
    async with deps.db.read() as s:
        queued = await legs.in_states(s, [LegState.QUEUED])
    return await each(logger, "claim", queued, lambda leg: _claim(deps, leg))


async def _claim(deps: RouterDeps, leg: Leg) -> bool:
    async with deps.db.read() as s:
        pool = await books.pool(s, leg.tenant_id, leg.pool_id)
        row = await books.venue(s, leg.pool_id, leg.venue_id)
        allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
        if leg.claim_intent_id is not None and not await legs.rested(s, leg):
            return False  # a claim has just failed
    if leg.request_id is None or not await _ripe(deps, pool, row, leg.request_id):
        return False
    intent = orders.claim(
        pool, allocator, new_uuid7(), row.config["guard_venue"], leg.request_id, leg.amount,
        leg.reference,
    )  # fmt: skip
    reason = await live_guard.would_revert(deps, intent)
    async with deps.db.write() as s:
        if reason:
            await legs.note(s, leg, reason)
            return False
        now = deps.clock.now()
        moved = await legs.advance(s, leg, LegState.CLAIMING, at=now, claim_intent_id=intent.id)
        if moved:
            await intents.create(s, intent, at=now)
    return moved


async def _ripe(deps: RouterDeps, pool: Pool, row: VenueRow, request_id: int) -> bool:
    client = deps.clients[pool.chain_id]
    staking = Staking(client, row.config["token"], row.config["queue"])
    block = await client.block_number()
    found = await staking.exits([request_id], block)
    return found[0].finalized and not found[0].claimed

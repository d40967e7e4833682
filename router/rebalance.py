"""Plans made real: when to plan, and legs started in order, exits first.

Each leg is one transaction that stores its intent, its hold on the guard's account and its new
state; a job that dies before that commit has done nothing, and after it everything.
"""

import logging
from datetime import datetime

from chains.errors import CallReverted, ChainError
from chains.evm.contracts.staking import Staking
from custody.core.db import WriteSession
from custody.core.errors import InsufficientFunds, Refused, Unavailable
from custody.core.ids import new_uuid7
from custody.core.intents import Intent
from custody.core.isolation import each
from custody.ledger import chart
from custody.ledger.posting import post_or_raise
from custody.parties import places
from custody.settlement import intents
from router import books, journals, legs, orders, owed, plan
from router.books import Pool, VenueRow
from router.curves import marginal_down
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.states import LEG_ENDS, LegState, PlanState, PoolState, move
from router.venues.cefi.port import EarnRefused, EarnUnavailable
from router.venues.factory import adapter
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

ENTER_CODE = "pool.allocate"
SHARES_SLACK_BPS = 10
"""What interest may take off the shares of an entry between the decision and its block: ten days
at 3.65 % a year. More is a share price that somebody moved, and the guard refuses."""
SLOW = (LegState.QUEUED, LegState.CLAIMING)
"""An exit that waits in a venue's queue; entries do not wait for it."""


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
    waiting = [leg for leg in open_legs if leg.state is LegState.PLANNED]
    busy = {leg.venue_id for leg in open_legs if leg.state not in (LegState.PLANNED, *SLOW)}
    due: list[Leg] = []
    for leg in waiting:
        row = rows[leg.venue_id]
        if leg.venue_id in busy or (leg.action is Action.EXIT and row.exchange):
            continue  # one move a venue at a time; exchange exits are router/exchange.py's
        if leg.action is Action.ENTER and _exits_before(leg, open_legs):
            continue
        busy.add(leg.venue_id)
        due.append(leg)
    return await each(logger, "leg", due, lambda leg: _start(deps, pool, rows[leg.venue_id], leg))


def _exits_before(leg: Leg, open_legs: list[Leg]) -> bool:
    """Whether an exit of the same plan is still under way and not merely queued."""
    return any(
        other.plan_id == leg.plan_id and other.action is Action.EXIT and other.state not in SLOW
        for other in open_legs
    )


async def _start(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> bool:
    shares_min = 0
    if leg.action is Action.ENTER:
        reason, shares_min = await live_guard(deps, pool, row, leg.amount)
        if reason:
            return await _end(deps, leg, LegState.CANCELLED, reason)
    else:
        reason = await _would_revert(deps, await _exit_intent(deps, pool, row, leg))
        if reason:
            return await _end(deps, leg, LegState.FAILED, reason)
    try:
        async with deps.db.write() as s:
            item = await books.pool(s, pool.tenant_id, pool.id, lock=True)
            if leg.action is Action.ENTER:
                return await _enter(s, deps, item, row, leg, shares_min)
            return await _exit(s, deps, item, row, leg)
    except InsufficientFunds:
        return await _end(deps, leg, LegState.CANCELLED, "the guard has less idle than planned")
    except Refused as error:
        return await _end(deps, leg, LegState.FAILED, error.detail)
    except Unavailable as error:
        logger.error("leg waits", extra={"leg": leg.reference, "error": error})
        return False


async def _end(deps: RouterDeps, leg: Leg, new: LegState, reason: str) -> bool:
    logger.warning("leg ended", extra={"leg": leg.reference, "reason": reason})
    async with deps.db.write() as s:
        return await legs.end(s, leg, new, reason, at=deps.clock.now())


async def live_guard(deps: RouterDeps, pool: Pool, row: VenueRow, amount: int) -> tuple[str, int]:
    """Why not to enter right now, whatever the plan said a minute ago; "" if nothing speaks.

    With it the fewest shares that the entry has to bring.
    """
    async with deps.db.read() as s:
        if (await books.pool(s, pool.tenant_id, pool.id)).state != PoolState.OPEN:
            return "the pool is not open", 0
    try:
        block = await deps.clients[pool.chain_id].block("latest")
        venue = adapter(deps, pool, row)
        state = await venue.read(block)
        shares = await venue.shares_for(amount, block)
    except (ChainError, EarnUnavailable, EarnRefused, Unavailable) as error:
        return f"could not be read: {error}", 0
    except Exception as error:
        logger.exception("venue not understood", extra={"venue": row.id})
        return f"could not be understood: {type(error).__name__}", 0
    return _objection(state, amount), shares * (10_000 - SHARES_SLACK_BPS) // 10_000


def _objection(state: VenueState, amount: int) -> str:
    if state.refusal:
        return state.refusal
    if state.capacity is not None and state.capacity < amount:
        return "the venue takes less than planned"
    if marginal_down(state.curve, state.position + amount) <= 0:
        return "the last unit would earn nothing"
    return ""


async def _enter(
    s: WriteSession, deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg, shares_min: int
) -> bool:
    """Intent, hold and state. Raises InsufficientFunds, Refused."""
    now, intent_id = deps.clock.now(), new_uuid7()
    if not await legs.advance(s, leg, LegState.EXECUTING, at=now, intent_id=intent_id):
        return False
    free = await books.available(s, pool, chart.guard(pool.id)) - await owed.reserved(s, pool)
    if free < leg.amount:
        raise InsufficientFunds("amount", "redemptions need the idle money")
    await _hold(s, pool, row, leg, now)
    allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    if row.exchange:
        payee = row.config["deposit_address"]
        intent = orders.release(pool, allocator, intent_id, payee, leg.amount, leg.reference)
    else:
        venue = row.config["guard_venue"]
        intent = orders.allocate(
            pool, allocator, intent_id, venue, leg.amount, shares_min, leg.reference
        )
    await intents.create(s, intent, at=now)
    return True


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


async def _exit(s: WriteSession, deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> bool:
    now, intent_id = deps.clock.now(), new_uuid7()
    if not await legs.advance(s, leg, LegState.EXECUTING, at=now, intent_id=intent_id):
        return False
    allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    venue = row.config["guard_venue"]
    intent = orders.deallocate(pool, allocator, intent_id, venue, leg.amount, leg.reference)
    await intents.create(s, intent, at=now)
    return True


async def _exit_intent(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> Intent:
    """The exit's call as it would be made now, for a look only."""
    async with deps.db.read() as s:
        allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    venue = row.config["guard_venue"]
    return orders.deallocate(pool, allocator, new_uuid7(), venue, leg.amount, leg.reference)


async def _would_revert(deps: RouterDeps, intent: Intent) -> str:
    """Why the guard would refuse this call now; "" if it would not. Raises ChainError: unknown.

    A revert on chain costs gas and a nonce, and the next job would only try it again.
    """
    data = bytes.fromhex(intent.data.removeprefix("0x"))
    try:
        client = deps.clients[intent.chain_id]
        await client.estimate_gas(intent.sender, intent.to, intent.value, data)
    except CallReverted as error:
        return f"the call would revert: {error.detail}"
    return ""


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
    reason = await _would_revert(deps, intent)
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

"""Exits from venues on chain: all of one if it can leave, else what can; the rest by itself later.

`maxWithdraw` is a hint: what counts is whether the guard's call would revert now. What cannot
leave waits as a leg of its own with a growing pause, through a pause, a freeze or a drained pool,
until it is out or nobody wants it out any more. It holds up no other leg and no other venue.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from chains.errors import ChainError
from custody.core.db import WriteSession
from custody.core.errors import Refused
from custody.core.ids import new_uuid7
from custody.core.intents import Intent
from custody.parties import places
from custody.settlement import intents
from router import books, costs, legs, live_guard, orders, plan, policies, reading, waiting
from router.books import Pool, VenueRow
from router.costs import Costs
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.objections import Objection, codes_of, text_of
from router.states import LegState
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

HALVINGS, CLOSER = 6, 3
"""How often a part that would revert is halved, and how often the gap is then halved upwards."""
PAUSE_MAX_S = 3_600
DUST = 1_000
"""One part in so many of a leg is not worth a transaction of its own: it waits with the rest."""


async def start(deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> bool:
    """One attempt. Raises ChainError: then nothing is known, and the leg stays as it is."""
    if leg.state is LegState.WAITING and not await still_wanted(deps, pool, leg):
        return await _cancel(deps, leg, "no plan wants it out any more")
    amount = leg.amount
    state = await read(deps, pool, row)
    if state is not None:
        amount = min(amount, holding(row, state))
    if amount == 0:
        return await _cancel(deps, leg, "nothing of ours is there to leave")
    part, reason = await leavable(deps, pool, row, amount, state)
    if part == 0 or part < amount // DUST:
        return await _wait(deps, leg, reason)
    seen = await _costs(deps, pool, row, leg, part, state)
    if seen.objections:
        return await _too_dear(deps, pool, leg, seen.objections)
    async with deps.db.write() as s:
        item = await books.pool(s, pool.tenant_id, pool.id, lock=True)
        return await _begin(s, deps, item, row, leg, (part, amount - part), reason, seen)


async def _costs(
    deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg, part: int, state: VenueState | None
) -> Costs:
    """What an exit for yield costs, and what the policy has against it; nothing of any other."""
    async with deps.db.read() as s:
        policy = await policies.current(s, pool.id)
        in_need = state is None or bool(state.refusal)
        in_need = in_need or await costs.at_any_price(s, pool, leg, deps.clock.now())
        allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    if policy is None or in_need or not policy.rebalance.has_ceilings:
        return Costs()
    intent = intent_of(pool, row, allocator, new_uuid7(), part, "a look")
    gas = await live_guard.simulate(deps, intent)
    return await costs.of_leg(deps, pool, row, intent, gas, policy.rebalance)


async def _too_dear(deps: RouterDeps, pool: Pool, leg: Leg, found: tuple[Objection, ...]) -> bool:
    """It waits a while; after that the next plan decides again."""
    if leg.state is LegState.WAITING:
        return await _wait(deps, leg, text_of(found))
    if await waiting.held_back(deps, pool, leg, found):
        return False
    async with deps.db.write() as s:
        return await legs.end(
            s, leg, LegState.CANCELLED, text_of(found), at=deps.clock.now(), code=codes_of(found)
        )


def holding(row: VenueRow, state: VenueState) -> int:
    """What could leave at best. At a queue or an exchange only what has not been asked for yet."""
    return state.withdrawable if row.kind in ("staking", "exchange") else state.position


async def read(deps: RouterDeps, pool: Pool, row: VenueRow) -> VenueState | None:
    """None where the venue says nothing: the simulation alone decides then."""
    try:
        block = await deps.clients[pool.chain_id].block("latest")
    except ChainError:
        return None
    return (await reading.read_venues(deps, pool, (row,), block))[row.id]


async def leavable(
    deps: RouterDeps, pool: Pool, row: VenueRow, amount: int, state: VenueState | None
) -> tuple[int, str]:
    """The most of `amount` that would leave now, found in few steps, and what stops the rest.

    Raises ChainError if a simulation gave no answer.
    """
    reason = await reverts(deps, pool, row, amount)
    if not reason:
        return amount, ""
    hint = amount if state is None else min(state.withdrawable, amount)
    least, most = 0, amount
    trial = hint if 0 < hint < amount else amount // 2
    for _ in range(HALVINGS):
        if trial == 0:
            break
        if not await reverts(deps, pool, row, trial):
            least = trial
            break
        most, trial = trial, trial // 2
    if least == 0:
        return 0, reason
    if least == hint:
        above = min(hint + hint // 100 + 1, amount)
        if above == amount or await reverts(deps, pool, row, above):
            return hint, reason  # it told the truth
        least = above
    for _ in range(CLOSER):
        trial = (least + most) // 2
        if await reverts(deps, pool, row, trial):
            most = trial
        else:
            least = trial
    return least, reason


async def reverts(deps: RouterDeps, pool: Pool, row: VenueRow, amount: int) -> str:
    """Why an exit of so much would revert now; "" if it would not."""
    async with deps.db.read() as s:
        allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    intent = intent_of(pool, row, allocator, new_uuid7(), amount, "a look")
    return await live_guard.would_revert(deps, intent)


def intent_of(
    pool: Pool, row: VenueRow, allocator: places.Place, id_: UUID, amount: int, reference: str
) -> Intent:
    """The guard's call that takes `amount` out."""
    venue = row.config["guard_venue"]
    return orders.deallocate(pool, allocator, id_, venue, amount, reference)


async def _begin(
    s: WriteSession,
    deps: RouterDeps,
    pool: Pool,
    row: VenueRow,
    leg: Leg,
    parts: tuple[int, int],
    reason: str,
    seen: Costs,
) -> bool:
    """Intent, state and, where only a part can leave, the leg of the rest: one commit. `parts` are
    what leaves and what does not."""
    now, intent_id, (part, rest) = deps.clock.now(), new_uuid7(), parts
    moved = await legs.advance(
        s, leg, LegState.EXECUTING, at=now, intent_id=intent_id, amount=part, gas_cost=seen.gas,
        slippage=seen.lost,
    )  # fmt: skip
    if not moved:
        return False
    if rest > 0:
        await legs.add_rest(
            s, leg, rest, reason, attempts=leg.attempts, at=now, retry_at=later(now, leg.attempts)
        )
    allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    await intents.create(s, intent_of(pool, row, allocator, intent_id, part, leg.reference), at=now)
    return True


async def _wait(deps: RouterDeps, leg: Leg, reason: str) -> bool:
    now = deps.clock.now()
    logger.warning("exit waits", extra={"leg": leg.reference, "reason": reason})
    async with deps.db.write() as s:
        await legs.advance(
            s, leg, LegState.WAITING, at=now, attempts=leg.attempts + 1,
            retry_at=later(now, leg.attempts), reason=reason[:500], code="exit-waits",
        )  # fmt: skip
    return False


async def _cancel(deps: RouterDeps, leg: Leg, reason: str) -> bool:
    async with deps.db.write() as s:
        return await legs.end(
            s, leg, LegState.CANCELLED, reason, at=deps.clock.now(), code="superseded"
        )


def later(now: datetime, attempts: int) -> datetime:
    """A minute after the first failure, then twice as long each time, an hour at most."""
    pause_s: int = min(legs.RETRY_S * 2 ** min(attempts, 10), PAUSE_MAX_S)
    return now + timedelta(seconds=pause_s)


async def still_wanted(deps: RouterDeps, pool: Pool, leg: Leg) -> bool:
    """Whether a plan of now would still take money out there, if the venue let it.

    What a recall or a person asked for is theirs to call off. Without an answer it is wanted.
    """
    if leg.plan_id is None:
        return True
    try:
        made = await plan.draft(deps, pool.tenant_id, pool.id, again=frozenset({leg.venue_id}))
    except (ChainError, Refused):
        return True
    venue = next(v for v in made.problem.venues if v.id == leg.venue_id)
    action = next(m.action for m in made.answer.moves if m.venue == leg.venue_id)
    return action is Action.EXIT or venue.withdrawable < leg.amount

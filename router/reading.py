"""The books and the chain at one block, as a problem for the allocator.

Reads only, outside of any transaction that writes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.errors import Refused
from custody.core.ids import PoolId, TenantId
from custody.ledger import chart
from router import (
    bars,
    books,
    costs,
    guard,
    legs,
    live_guard,
    outflows,
    owed,
    policies,
    stuck,
)
from router.books import Pool, VenueRow
from router.cost_rules import VenueCosts, costed
from router.deps import RouterDeps
from router.facts import facts_of
from router.guard import room_down
from router.legs import Leg
from router.limits import limited
from router.objections import Objection
from router.policy import RiskPolicy
from router.problem import AllocationInput, VenueInput
from router.queued import Coming, coming
from router.stated_curves import Flat
from router.states import LegState, PoolState
from router.tiers import Limits, Tier, VenueLimit
from router.venues.factory import NO_ANSWER, adapter
from router.venues.port import VenueState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the books say, before the chain is read."""

    pool: Pool
    venues: tuple[VenueRow, ...]
    policy: RiskPolicy
    idle: int
    reserved: int
    posted: Mapping[str, int]
    moving: tuple[Leg, ...]
    failed: frozenset[str]
    """Venues where an exit has just failed or waits."""
    barred: Mapping[str, tuple[Objection, ...]]
    stuck: frozenset[str]
    """Exchanges that do not give back what was asked for: no yield of theirs is counted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Books and chain at one block, as a problem that is not solved yet."""

    snapshot: Snapshot
    block: BlockRef
    states: Mapping[str, VenueState | None]
    problem: AllocationInput


async def confirmed_block(deps: RouterDeps, chain_id: int) -> BlockRef:
    """The newest block as deep as the chain's confirmations, which is where the books are."""
    client = deps.clients[chain_id]
    head = await client.height()
    return await client.block(max(head - deps.registry.chain(chain_id).confirmations + 1, 0))


async def snapshot(s: ReadSession, tenant_id: TenantId, pool_id: PoolId, now: datetime) -> Snapshot:
    """Raises Refused without a policy: nothing is planned."""
    pool = await books.pool(s, tenant_id, pool_id)
    policy = await policies.current(s, pool_id)
    if policy is None:
        raise Refused("policy", "a risk policy must be loaded first")
    venues = await books.venues(s, pool_id)
    return Snapshot(
        pool=pool,
        venues=tuple(venues),
        policy=policy,
        idle=await books.available(s, pool, chart.guard(pool_id)),
        reserved=await owed.reserved(s, pool, now),
        posted={v.id: await books.posted(s, pool, books.venue_code(v)) for v in venues},
        moving=tuple(await legs.unfinished(s, pool_id)),
        failed=frozenset(await legs.failed_exits(s, pool_id)),
        barred=await bars.bars(s, pool_id),
        stuck=frozenset(x.venue for x in await stuck.of_pool(s, pool_id)),
    )


async def read_venues(
    deps: RouterDeps, pool: Pool, venues: tuple[VenueRow, ...], block: BlockRef
) -> dict[str, VenueState | None]:
    """Every venue at one block; None for one that can't be read, which blocks no other."""
    found: dict[str, VenueState | None] = {}
    for row in venues:
        try:
            found[row.id] = await adapter(deps, pool, row).read(block)
        except NO_ANSWER as error:
            logger.warning("venue not read", extra={"venue": row.id, "error": error})
            found[row.id] = None
        except Exception:
            logger.exception("venue not understood", extra={"venue": row.id})
            found[row.id] = None
    return found


def problem_of(
    snap: Snapshot,
    states: Mapping[str, VenueState | None],
    needs: Mapping[int, int] | None = None,
    doubts: Mapping[str, tuple[Objection, ...]] | None = None,
    dear: Mapping[str, VenueCosts] | None = None,
    queues: Mapping[str, tuple[Coming, ...]] | None = None,
) -> AllocationInput:
    """The books and the chain as one problem. What can't be read or is moving stays as it is.

    Nothing can be withdrawn where that has just failed: a plan would only ask again. `needs` is
    what will leave the pool by each horizon of the policy, see `limits.limited`; `doubts` are what
    the prices have against entering a venue, `dear` is what moves cost, where the policy asks;
    `queues` is what waits in queues that move: what else lies there can be asked for beside it,
    and nothing enters.
    """
    barred = dict(snap.barred)
    for venue_id, doubt in (doubts or {}).items():
        barred[venue_id] = (*barred.get(venue_id, ()), *doubt)
    left = {id_: sum(c.amount for c in found) for id_, found in (queues or {}).items()}
    busy = {
        leg.venue_id
        for leg in snap.moving
        if leg.state is not LegState.WAITING
        and not (leg.state is LegState.QUEUED and leg.venue_id in left)
    }
    snap = replace(snap, barred=barred)
    venues = [_input(snap, row, states[row.id], row.id in busy) for row in snap.venues]
    problem = AllocationInput(
        idle=snap.idle,
        reserved=snap.reserved,
        venues=tuple(
            replace(v, capacity=0, queued=min(left[v.id], v.position)) if v.id in left else v
            for v in venues
        ),
        limits=complete(snap.policy.limits, snap.venues),
        rule=snap.policy.rebalance,
    )
    problem = limited(problem, snap.policy, facts_of(states, queues), needs or {})
    priced = tuple(costed(v, (dear or {}).get(v.id, VenueCosts())) for v in problem.venues)
    return replace(problem, venues=priced)


def _input(snap: Snapshot, row: VenueRow, state: VenueState | None, busy: bool) -> VenueInput:
    if busy or state is None:
        # While money moves, venue and exchange may or may not count it already; the books count
        # it exactly once.
        value = snap.posted[row.id] + _flying(snap, row)
        curve = Flat(0) if state is None or row.id in snap.stuck else state.curve
        reason = "a move is under way" if busy else "could not be read"
        return VenueInput(row.id, row.tier, curve, value, 0, None, reason)
    if not state.rate_known:
        return VenueInput(row.id, row.tier, state.curve, state.position, 0, None, state.refusal)
    found = VenueInput(
        id=row.id,
        tier=row.tier,
        curve=state.curve,
        position=state.position,
        withdrawable=0 if row.id in snap.failed else state.withdrawable,
        capacity=_least(state.capacity, room_down(state, snap.policy.guard)),
        refusal=state.refusal,
    )
    if snap.pool.state != PoolState.OPEN:
        return replace(found, refusal="the pool is not open")
    against = snap.barred.get(row.id, ())
    return replace(found, refusal=bars.refusal_of(against, state.refusal))


def _least(*limits: int | None) -> int | None:
    return min((x for x in limits if x is not None), default=None)


def _flying(snap: Snapshot, row: VenueRow) -> int:
    """Between the guard and this venue by the books, either way."""
    states = (LegState.RELEASED, LegState.ARRIVING)
    return sum(leg.amount for leg in snap.moving if leg.venue_id == row.id and leg.state in states)


def complete(limits: Limits, venues: Sequence[VenueRow]) -> Limits:
    """A venue or tier that the policy no longer names has a cap of zero: it is left."""
    tiers = {t: limits.tiers.get(t, 0) for t in Tier if any(v.tier is t for v in venues)}
    rules = {v.id: limits.venues.get(v.id, VenueLimit(0, 0)) for v in venues}
    return Limits(limits.buffer_share_wad, tiers, rules)


async def read(
    deps: RouterDeps,
    tenant_id: TenantId,
    pool_id: PoolId,
    *,
    again: frozenset[str] = frozenset(),
) -> Reading:
    """Everything at one block. Raises Refused without a policy, ChainError without a chain.

    `again` are venues whose exits are to be thought of as if none had failed.
    """
    async with deps.db.snapshot() as s:
        snap = await snapshot(s, tenant_id, pool_id, deps.clock.now())
        needs = await _needs(s, deps, snap)
    snap = replace(snap, failed=snap.failed - again)
    block = await confirmed_block(deps, snap.pool.chain_id)
    states = await read_venues(deps, snap.pool, snap.venues, block)
    async with deps.db.read() as s:
        doubts = {
            row.id: await live_guard.doubts(s, deps, snap.pool, row, snap.policy.guard)
            for row in snap.venues
        }
    now_s = int(deps.clock.now().timestamp())
    for venue_id, state in states.items():
        if state is not None:
            doubts[venue_id] = (*doubts[venue_id], *guard.quoted(state, now_s))
    rule = snap.policy.rebalance
    dear = await costs.of_plan(deps, snap.pool, snap.venues, states, rule)
    queued = await coming(deps, snap.pool, snap.venues, snap.moving, states, block)
    problem = problem_of(snap, states, needs, doubts, dear, queued)
    return Reading(snap, block, states, problem)


async def _needs(s: ReadSession, deps: RouterDeps, snap: Snapshot) -> dict[int, int]:
    """By the horizons (s) of the policy, what will leave the pool besides what is reserved."""
    terms = snap.policy.terms
    if terms is None:
        return {}
    rules = {h: outflows.rule_for(h, terms.quantile_wad) for h in terms.horizons_s()}
    found = await outflows.needs(s, snap.pool, deps.clock.now(), list(rules.values()))
    return {h: max(need.amount - snap.reserved, 0) for h, need in zip(rules, found, strict=True)}

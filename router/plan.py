"""From the chain's state at one block to a stored plan with legs.

Reading happens outside of any transaction; storing checks again under the pool's lock that
nothing else has started in between.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chains.types import BlockRef
from custody.audit import log
from custody.core import canonical
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound, Refused
from custody.core.ids import PlanId, PoolId, TenantId, format_id, new_uuid7
from custody.ledger import chart
from router import (
    bars,
    books,
    costs,
    guard,
    halts,
    legs,
    live_guard,
    models,
    outflows,
    owed,
    policies,
    stuck,
)
from router.allocate import Allocation, allocate
from router.books import Pool, VenueRow
from router.cost_rules import VenueCosts, costed
from router.curves import rate_ray_down
from router.deps import RouterDeps
from router.facts import facts_of
from router.guard import room_down
from router.legs import Leg
from router.limits import limited
from router.moves import Action
from router.objections import Objection
from router.plan_json import allocation_to_json, problem_to_json
from router.policy import RiskPolicy
from router.problem import AllocationInput, VenueInput
from router.queued import Coming, coming
from router.stated_curves import Flat
from router.states import LegState, PlanState, PoolState
from router.tiers import Limits, Tier, VenueLimit
from router.venues.factory import NO_ANSWER, adapter
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

READ_EVERY_S = 10
SILENCE_S = 600
"""So long a venue that does not answer is waited for; after that plans are made without it."""
STARTING = (LegState.PLANNED, LegState.EXECUTING)
"""While a leg is here, amounts are about to change: no new plan."""
PATIENCE = timedelta(minutes=10)
"""How long plans and entries wait for an exit that does not start or end."""


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


@dataclass(frozen=True, slots=True)
class Draft(Reading):
    """A plan that is not stored yet."""

    answer: Allocation


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
    queued = frozenset(queues or {})
    busy = {
        leg.venue_id
        for leg in snap.moving
        if leg.state is not LegState.WAITING
        and not (leg.state is LegState.QUEUED and leg.venue_id in queued)
    }
    snap = replace(snap, barred=barred)
    venues = [_input(snap, row, states[row.id], row.id in busy) for row in snap.venues]
    problem = AllocationInput(
        idle=snap.idle,
        reserved=snap.reserved,
        venues=tuple(replace(v, capacity=0) if v.id in queued else v for v in venues),
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


async def draft(
    deps: RouterDeps,
    tenant_id: TenantId,
    pool_id: PoolId,
    *,
    again: frozenset[str] = frozenset(),
) -> Draft:
    """Read everything and solve. Raises as `read` does."""
    found = await read(deps, tenant_id, pool_id, again=again)
    answer = allocate(found.problem)
    return Draft(found.snapshot, found.block, found.states, found.problem, answer)


async def fallen_silent(s: ReadSession, deps: RouterDeps, made: Draft) -> list[str]:
    """Venues with money of ours that answered a while ago and do not now.

    A ladder counts what cannot be read as not home in time, and would pull money out of all others
    for one answer that did not come.
    """
    if made.snapshot.policy.terms is None:
        return []
    mute = [v for v, state in made.states.items() if state is None and made.snapshot.posted[v]]
    rows = await s.all(
        "SELECT venue_id FROM rate_reads WHERE pool_id = :pool AND venue_id = ANY(:mute)"
        " GROUP BY venue_id HAVING max(at) > :since",
        {
            "pool": made.snapshot.pool.id,
            "mute": mute,
            "since": deps.clock.now() - timedelta(seconds=SILENCE_S),
        },
    )
    return sorted(row.venue_id for row in rows)


async def store(s: WriteSession, deps: RouterDeps, made: Draft) -> PlanId | None:
    """Store reads, plan and legs; None if there is nothing to move or something else started."""
    pool = await books.pool(s, made.snapshot.pool.tenant_id, made.snapshot.pool.id, lock=True)
    await store_reads(s, deps, made)
    if not any(m.action is not Action.HOLD for m in made.answer.moves):
        return None
    again = await snapshot(s, pool.tenant_id, pool.id, deps.clock.now())
    if again != made.snapshot:
        return None
    now, id_ = deps.clock.now(), PlanId(new_uuid7())
    body, answer = problem_to_json(made.problem), allocation_to_json(made.answer)
    await s.execute(
        models.plans.insert(),
        {
            "id": id_, "tenant_id": pool.tenant_id, "pool_id": pool.id,
            "chain_id": pool.chain_id, "block_number": made.block.number,
            "block_hash": made.block.hash, "policy_hash": made.snapshot.policy.hash,
            "input": body, "output": answer, "state": PlanState.OPEN.value, "created_at": now,
        },
    )  # fmt: skip
    for wanted in (Action.EXIT, Action.ENTER):
        for m in made.answer.moves:
            if m.action is wanted:
                await legs.add(s, pool, id_, m.venue, m.action, m.amount, at=now)
    await log.append(s, pool.tenant_id, "plan.made", _entry(made, id_, body, answer), at=now)
    return id_


def _entry(
    made: Draft, id_: PlanId, body: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    moves = [{k: m[k] for k in ("venue", "action", "amount", "code")} for m in answer["moves"]]
    return {
        "plan": format_id("plan", id_),
        "pool": format_id("pool", made.snapshot.pool.id),
        "chain_id": str(made.snapshot.pool.chain_id),
        "block_number": str(made.block.number),
        "block_hash": made.block.hash,
        "policy_hash": made.snapshot.policy.hash,
        "input_hash": "sha256:" + canonical.sha256_hex(body),
        "output_hash": "sha256:" + canonical.sha256_hex(answer),
        "targets": answer["targets"],
        "moves": moves,
        "objective": answer["income_ray"],
        "gap": answer["gap_ray"],
    }


async def store_reads(s: WriteSession, deps: RouterDeps, made: Draft) -> None:
    """Store them, and see whether one has jumped since the read before it."""
    for venue_id, state in made.states.items():
        if state is not None:
            jump_bps = made.snapshot.policy.guard.jump_bps
            await halts.watch(s, made.snapshot.pool, venue_id, state, jump_bps, at=deps.clock.now())
            await s.execute(
                models.rate_reads.insert(),
                {
                    "id": new_uuid7(),
                    "tenant_id": made.snapshot.pool.tenant_id,
                    "pool_id": made.snapshot.pool.id,
                    "venue_id": venue_id,
                    "chain_id": made.snapshot.pool.chain_id,
                    "block_number": made.block.number,
                    "apr_ray": rate_ray_down(state.curve, state.position),
                    "state": state.to_json(),
                    "at": deps.clock.now(),
                },
            )


async def due(s: ReadSession, deps: RouterDeps, pool: Pool) -> bool:
    """Whether it is time to look again: no move starting, cooldown over, last look old enough."""
    policy = await policies.current(s, pool.id)
    if policy is None:
        return False
    now = deps.clock.now()
    if any(_starting(leg, now) for leg in await legs.unfinished(s, pool.id)):
        return False
    if await _cooling(s, pool, policy.rebalance.cooldown_s, now):
        return False
    looked = await s.scalar(
        "SELECT max(at) FROM rate_reads WHERE pool_id = :pool", {"pool": pool.id}
    )
    return looked is None or now >= looked + timedelta(seconds=READ_EVERY_S)


async def _cooling(s: ReadSession, pool: Pool, cooldown_s: int, now: datetime) -> bool:
    """The cooldown is for money that moves: a plan that the guard refused whole costs a minute."""
    row = await s.first(
        "SELECT created_at, EXISTS (SELECT FROM legs WHERE plan_id = plans.id"
        " AND state <> 'cancelled') AS moved FROM plans WHERE pool_id = :pool"
        " ORDER BY id DESC LIMIT 1",
        {"pool": pool.id},
    )
    if row is None:
        return False
    pause_s = cooldown_s if row.moved else min(cooldown_s, legs.RETRY_S)
    return bool(now < row.created_at + timedelta(seconds=pause_s))


def _starting(leg: Leg, now: datetime) -> bool:
    """An exit that has been about to start for long (an exchange that does not answer) holds up no
    other venue: its own is left as it is while it has a leg."""
    slow = leg.action is Action.EXIT and now - leg.created_at >= PATIENCE
    return leg.state in STARTING and not slow


_PLAN = (
    "SELECT id, pool_id, chain_id, block_number, block_hash, policy_hash, input, output, state,"
    " created_at FROM plans"
)


async def listing(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId | None, cursor: UUID | None, limit: int
) -> list[Any]:
    """Newest first; `cursor` is the id of the last one seen."""
    return list(
        await s.all(
            f"{_PLAN} WHERE tenant_id = :tenant"
            " AND (CAST(:pool AS uuid) IS NULL OR pool_id = :pool)"
            " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
            {"tenant": tenant_id, "pool": pool_id, "cursor": cursor, "limit": limit},
        )
    )


async def get(s: ReadSession, tenant_id: TenantId, plan_id: UUID) -> tuple[Any, list[Leg]]:
    """The plan's row and its legs. Raises NotFound."""
    row = await s.first(
        f"{_PLAN} WHERE tenant_id = :tenant AND id = :id", {"tenant": tenant_id, "id": plan_id}
    )
    if row is None:
        raise NotFound("plan", format_id("plan", plan_id))
    return row, await legs.of_plan(s, plan_id)

"""From the chain's state at one block to a stored plan with legs.

Reading happens outside of any transaction; storing checks again under the pool's lock that
nothing else has started in between.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from chains.errors import ChainError
from chains.types import BlockRef
from custody.audit import log
from custody.core import canonical
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound, Refused, Unavailable
from custody.core.ids import PlanId, PoolId, TenantId, format_id, new_uuid7
from custody.ledger import chart
from router import books, legs, models, policies
from router.allocate import Allocation, allocate
from router.books import Pool, VenueRow
from router.curves import Flat, rate_ray_down
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.plan_json import allocation_to_json, problem_to_json
from router.policy import RiskPolicy
from router.problem import AllocationInput, VenueInput
from router.states import LegState, PlanState, PoolState
from router.tiers import Limits, Tier, VenueLimit
from router.venues.cefi.port import EarnRefused, EarnUnavailable
from router.venues.factory import adapter
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

READ_EVERY_S = 10
STARTING = (LegState.PLANNED, LegState.EXECUTING)
"""While a leg is here, amounts are about to change: no new plan."""


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
    """Venues where an exit has just failed."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that is not stored yet."""

    snapshot: Snapshot
    block: BlockRef
    states: Mapping[str, VenueState | None]
    problem: AllocationInput
    answer: Allocation


async def confirmed_block(deps: RouterDeps, chain_id: int) -> BlockRef:
    """The newest block as deep as the chain's confirmations, which is where the books are."""
    client = deps.clients[chain_id]
    head = await client.height()
    return await client.block(max(head - deps.registry.chain(chain_id).confirmations + 1, 0))


async def snapshot(s: ReadSession, tenant_id: TenantId, pool_id: PoolId) -> Snapshot:
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
        reserved=await reserved(s, pool),
        posted={v.id: await books.posted(s, pool, books.venue_code(v)) for v in venues},
        moving=tuple(await legs.unfinished(s, pool_id)),
        failed=frozenset(await legs.failed_exits(s, pool_id)),
    )


async def reserved(s: ReadSession, pool: Pool) -> int:
    """What waiting redemptions will take out of the guard (not yet under a hold there)."""
    totals = await books.totals(s, pool)
    rows = await s.all(
        "SELECT amount, hold_shares FROM redemptions WHERE pool_id = :pool"
        " AND state IN ('requested', 'recalling')",
        {"pool": pool.id},
    )
    return sum(
        totals.value_down(int(r.hold_shares)) if r.amount is None else int(r.amount) for r in rows
    )


async def read_venues(
    deps: RouterDeps, pool: Pool, venues: tuple[VenueRow, ...], block: BlockRef
) -> dict[str, VenueState | None]:
    """Every venue at one block; None for one that can't be read, which blocks no other."""
    found: dict[str, VenueState | None] = {}
    for row in venues:
        try:
            found[row.id] = await adapter(deps, pool, row).read(block)
        except (ChainError, EarnUnavailable, EarnRefused, Unavailable) as error:
            logger.warning("venue not read", extra={"venue": row.id, "error": error})
            found[row.id] = None
        except Exception:
            logger.exception("venue not understood", extra={"venue": row.id})
            found[row.id] = None
    return found


def problem_of(snap: Snapshot, states: Mapping[str, VenueState | None]) -> AllocationInput:
    """The books and the chain as one problem. What can't be read or is moving stays as it is.

    Nothing can be withdrawn where that has just failed: a plan would only ask again.
    """
    busy = {leg.venue_id for leg in snap.moving}
    return AllocationInput(
        idle=snap.idle,
        reserved=snap.reserved,
        venues=tuple(_input(snap, row, states[row.id], row.id in busy) for row in snap.venues),
        limits=_complete(snap.policy.limits, snap.venues),
        rule=snap.policy.rebalance,
    )


def _input(snap: Snapshot, row: VenueRow, state: VenueState | None, busy: bool) -> VenueInput:
    if busy or state is None:
        # While money moves, venue and exchange may or may not count it already; the books count
        # it exactly once.
        value = snap.posted[row.id] + _flying(snap, row)
        curve = Flat(0) if state is None else state.curve
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
        capacity=state.capacity,
        refusal=state.refusal,
    )
    if snap.pool.state != PoolState.OPEN:
        return replace(found, refusal="the pool is not open")
    return found


def _flying(snap: Snapshot, row: VenueRow) -> int:
    """Between the guard and this venue by the books, either way."""
    states = (LegState.RELEASED, LegState.ARRIVING)
    return sum(leg.amount for leg in snap.moving if leg.venue_id == row.id and leg.state in states)


def _complete(limits: Limits, venues: tuple[VenueRow, ...]) -> Limits:
    """A venue or tier that the policy no longer names has a cap of zero: it is left."""
    tiers = {t: limits.tiers.get(t, 0) for t in Tier if any(v.tier is t for v in venues)}
    rules = {v.id: limits.venues.get(v.id, VenueLimit(0, 0)) for v in venues}
    return Limits(limits.buffer_share_wad, tiers, rules)


async def draft(deps: RouterDeps, tenant_id: TenantId, pool_id: PoolId) -> Draft:
    """Read everything and solve. Raises Refused without a policy, ChainError without a chain."""
    async with deps.db.snapshot() as s:
        snap = await snapshot(s, tenant_id, pool_id)
    block = await confirmed_block(deps, snap.pool.chain_id)
    states = await read_venues(deps, snap.pool, snap.venues, block)
    problem = problem_of(snap, states)
    return Draft(snap, block, states, problem, allocate(problem))


async def store(s: WriteSession, deps: RouterDeps, made: Draft) -> PlanId | None:
    """Store reads, plan and legs; None if there is nothing to move or something else started."""
    pool = await books.pool(s, made.snapshot.pool.tenant_id, made.snapshot.pool.id, lock=True)
    await store_reads(s, deps, made)
    if not any(m.action is not Action.HOLD for m in made.answer.moves):
        return None
    again = await snapshot(s, pool.tenant_id, pool.id)
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
    for venue_id, state in made.states.items():
        if state is not None:
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
    if any(leg.state in STARTING for leg in await legs.unfinished(s, pool.id)):
        return False
    now = deps.clock.now()
    planned = await s.scalar(
        "SELECT max(created_at) FROM plans WHERE pool_id = :pool", {"pool": pool.id}
    )
    if planned is not None and now < planned + timedelta(seconds=policy.rebalance.cooldown_s):
        return False
    looked = await s.scalar(
        "SELECT max(at) FROM rate_reads WHERE pool_id = :pool", {"pool": pool.id}
    )
    return looked is None or now >= looked + timedelta(seconds=READ_EVERY_S)


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

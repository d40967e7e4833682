"""From books and chain at one block (router/reading.py) to a stored plan with legs.

Reading happens outside of any transaction; storing checks again under the pool's lock that
nothing else has started in between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from custody.audit import log
from custody.core import canonical
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import PlanId, PoolId, TenantId, format_id, new_uuid7
from router import books, halts, legs, models, policies, reading
from router.allocate import Allocation, allocate
from router.books import Pool
from router.curves import rate_ray_down
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.plan_json import allocation_to_json, problem_to_json
from router.reading import Reading
from router.states import LegState, PlanState

READ_EVERY_S = 10
SILENCE_S = 600
"""So long a venue that does not answer is waited for; after that plans are made without it."""
STARTING = (LegState.PLANNED, LegState.EXECUTING)
"""While a leg is here, amounts are about to change: no new plan."""
PATIENCE = timedelta(minutes=10)
"""How long plans and entries wait for an exit that does not start or end."""


@dataclass(frozen=True, slots=True)
class Draft(Reading):
    """A plan that is not stored yet."""

    answer: Allocation


async def draft(
    deps: RouterDeps,
    tenant_id: TenantId,
    pool_id: PoolId,
    *,
    again: frozenset[str] = frozenset(),
) -> Draft:
    """Read everything and solve. Raises as `reading.read` does."""
    found = await reading.read(deps, tenant_id, pool_id, again=again)
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
    again = await reading.snapshot(s, pool.tenant_id, pool.id, deps.clock.now())
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

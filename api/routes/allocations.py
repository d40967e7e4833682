"""Where a pool may earn and why its money is where it is: venues, risk policies, plans."""

from typing import Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from api.answers import (
    Cursor,
    Document,
    Limit,
    Shape,
    answer,
    cursor_id,
    next_id,
    optional_id,
    page,
)
from api.auth.access import ANYONE, STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import TierName, pool_id_of
from api.routing import Routes
from api.writes import Key, MoneyWrite, asked_of, begin, stored_before
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id, parse_id
from router import books, plan, policies, pool, proposals
from router.books import VenueRow
from router.legs import Leg
from router.rates import compare as rates
from router.rates.compare import RateRow
from router.tiers import Tier

routes = Routes("allocations")


class NewVenue(Shape):
    id: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")
    kind: Literal[
        "aave", "stata", "metamorpho", "compound", "erc4626", "erc7540", "staking", "exchange"
    ]
    tier: TierName
    config: dict[str, str] = Field(description="contracts, or exchange and product")


class VenueView(Shape):
    id: str
    pool: str
    kind: str
    tier: str
    config: dict[str, Any]


class VenuePage(Shape):
    items: list[VenueView]
    next: str | None


class RiskPolicyView(Shape):
    version: int
    hash: str
    previous: str | None
    document: dict[str, Any]
    loaded_by: str
    at: str


class RiskPolicyPage(Shape):
    items: list[RiskPolicyView]
    next: str | None


class LoadedRiskPolicy(Shape):
    """`in_force` false: it loosens, and waits as `proposal` for a second person and its delay."""

    pool: str
    version: int
    hash: str
    in_force: bool
    proposal: str | None


class RateView(Shape):
    """Net simple APR on act/365 as decimal strings: now, and with `ticket` more of ours in it."""

    venue: str
    tier: str
    kind: str
    position: str
    apr_now: str | None
    apr_after_ticket: str | None
    ticket: str
    capacity: str | None
    withdrawable: str
    exit_terms: str
    refusal: str
    halted: str = Field(description="why nothing enters by our own books; empty if it may")
    block_number: int
    block_hash: str


class RatePage(Shape):
    items: list[RateView]
    next: str | None


class PlanMade(Shape):
    plan: str | None = Field(description="null when there is nothing to move")
    held: str = Field(description="why nothing moves, if so")


class LegView(Shape):
    id: str
    venue: str
    action: str
    amount: str
    state: str
    intent: str | None
    order_id: str | None
    tx_hash: str | None
    received: str | None
    reason: str | None
    code: str | None = Field(description="names of the objections, joined by commas")
    gas_cost: str | None = Field(
        description="forecast in the pool's asset when it was sent; null: no ceiling asked for it"
    )
    slippage: str | None = Field(
        description="what it was to lose by its simulation; null: no ceiling asked for it"
    )
    retry_of: str | None = Field(description="the exit whose rest this is")
    retry_at: str | None


class PlanView(Shape):
    """`input` and `output` in full: whoever has them can solve it again."""

    id: str
    pool: str
    chain_id: int
    block_number: int
    block_hash: str
    policy_hash: str
    input: dict[str, Any]
    output: dict[str, Any]
    state: str
    created_at: str


class PlanDetail(PlanView):
    legs: list[LegView]


class PlanPage(Shape):
    items: list[PlanView]
    next: str | None


def _venue(row: VenueRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "pool": format_id("pool", row.pool_id),
        "kind": row.kind,
        "tier": row.tier.value,
        "config": dict(row.config),
    }


def _plan(row: Any) -> dict[str, Any]:
    return {
        "id": format_id("plan", row.id),
        "pool": format_id("pool", row.pool_id),
        "chain_id": row.chain_id,
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "policy_hash": row.policy_hash,
        "input": row.input,
        "output": row.output,
        "state": row.state,
        "created_at": iso_us(row.created_at),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "id": format_id("leg", leg.id),
        "venue": leg.venue_id,
        "action": leg.action.value,
        "amount": str(leg.amount),
        "state": leg.state.value,
        "intent": optional_id("intent", leg.intent_id),
        "order_id": leg.order_id,
        "tx_hash": leg.tx_hash,
        "received": None if leg.received is None else str(leg.received),
        "reason": leg.reason,
        "code": leg.code,
        "gas_cost": None if leg.gas_cost is None else str(leg.gas_cost),
        "slippage": None if leg.slippage is None else str(leg.slippage),
        "retry_of": optional_id("leg", leg.retry_of),
        "retry_at": None if leg.retry_at is None else iso_us(leg.retry_at),
    }


@routes.get("/v1/pools/{pool_id}/venues", access=ANYONE, command="venues list", answer=VenuePage)
async def list_venues(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Where this pool's money may go, if its policy gives the venue a cap."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await books.venues(s, item.id)
    return page([_venue(v) for v in found], None)


@routes.post(
    "/v1/pools/{pool_id}/venues",
    access=TREASURY,
    command="venues add",
    answer=VenueView,
    status=201,
)
async def add_venue(
    pool_id: str, body: NewVenue, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """List a venue. It gets nothing until a risk policy gives it a cap."""
    id_ = pool_id_of(pool_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        item = await books.pool(s, who.tenant_id, id_, lock=True)
        if any(v.id == body.id for v in await books.venues(s, id_)):
            raise Conflict("a venue of this id is listed", field="id", rule="unique")
        tier = Tier(body.tier)
        return _venue(
            await pool.add_venue(
                s, item, body.id, body.kind, tier, body.config, at=deps.clock.now()
            )
        )

    return await write.run(work)


@routes.get(
    "/v1/pools/{pool_id}/policies",
    access=ANYONE,
    command="risk-policies list",
    answer=RiskPolicyPage,
)
async def list_policies(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Every version of the pool's risk policy, newest first, each naming the one before."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await policies.history(s, who.tenant_id, item.id)
    return page([{**r._mapping, "at": iso_us(r.at)} for r in found], None)


@routes.post(
    "/v1/pools/{pool_id}/policies",
    access=TREASURY,
    command="risk-policies load",
    answer=LoadedRiskPolicy,
    status=201,
)
async def load_policy(
    pool_id: str, body: Document, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Load the next version of the risk policy (schema moorage.risk/1 or moorage.risk/2)."""
    id_ = pool_id_of(pool_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await proposals.submit(
            *(s, deps.registry, who.tenant_id, id_, body),
            label=who.label, person=who.person_id, at=deps.clock.now(),
        )  # fmt: skip
        return {
            "pool": pool_id,
            "version": found.policy.version,
            "hash": found.policy.hash,
            "in_force": found.proposal is None,
            "proposal": optional_id("risk_proposal", found.proposal),
        }

    return await write.run(work)


@routes.get("/v1/pools/{pool_id}/plans", access=STAFF, command="allocations list", answer=PlanPage)
async def list_plans(
    pool_id: str, who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Allocation plans, newest first."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        after = cursor_id("plan", cursor)
        found = await plan.listing(s, who.tenant_id, item.id, after, limit)
    return page([_plan(p) for p in found], next_id("plan", [p.id for p in found], limit))


@routes.get("/v1/plans/{plan_id}", access=STAFF, command="allocations show", answer=PlanDetail)
async def show_plan(plan_id: str, who: Who, deps: UseDeps) -> Response:
    """One plan with its certificate and how far its legs are."""
    async with deps.db.read() as s:
        row, found = await plan.get(s, who.tenant_id, parse_id("plan", plan_id, "plan_id"))
    return answer({**_plan(row), "legs": [_leg(x) for x in found]})


def _rate(row: RateRow) -> dict[str, Any]:
    return {
        "venue": row.venue,
        "tier": row.tier,
        "kind": row.kind,
        "position": str(row.position),
        "apr_now": row.apr_now,
        "apr_after_ticket": row.apr_after_ticket,
        "ticket": str(row.ticket),
        "capacity": None if row.capacity is None else str(row.capacity),
        "withdrawable": str(row.withdrawable),
        "exit_terms": row.exit_terms,
        "refusal": row.refusal,
        "halted": row.halted,
        "block_number": row.as_of.number,
        "block_hash": row.as_of.hash,
    }


@routes.get("/v1/pools/{pool_id}/rates", access=ANYONE, command="rates compare", answer=RatePage)
async def compare(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Every venue's net rate at one block, best first, and its terms of exit."""
    found = await rates.compare(deps.router, who.tenant_id, pool_id_of(pool_id))
    return page([_rate(r) for r in found], None)


@routes.post(
    "/v1/pools/{pool_id}/plans",
    access=TREASURY,
    command="allocations plan",
    answer=PlanMade,
    status=201,
)
async def make_plan(pool_id: str, request: Request, who: Who, deps: UseDeps, key: Key) -> Response:
    """Plan now rather than at the next turn of the worker, by the same rules."""
    asked = await asked_of(request, key)
    before = await stored_before(deps, who, asked)
    if before is not None:
        return before
    draft = await plan.draft(deps.router, who.tenant_id, pool_id_of(pool_id))

    async def work(s: WriteSession) -> dict[str, Any]:
        made = await plan.store(s, deps.router, draft)
        return {"plan": optional_id("plan", made), "held": draft.answer.held}

    # Its own transaction, opened only now: the chain has been read. It commits before we answer.
    async with deps.db.write() as s:
        return await (await begin(s, who, asked)).run(work)

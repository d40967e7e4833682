"""Pools: holders opt in, join and leave; staff open pools and see whose money is where."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Document, Shape, answer, page
from api.auth.access import ANYONE, HOLDER, STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import known_asset, known_chain
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput
from custody.core.ids import PoolId, format_id, parse_id
from custody.core.money import parse_amount
from custody.parties import places
from router import books, flags, pool
from router.books import Pool
from router.fees import SPREAD_BPS_MAX
from router.pool import Holding, PoolView
from router.tiers import Tier

routes = Routes("pools")
TierName = Literal["cash", "bonds", "staking", "strategies"]


class NewPool(Shape):
    """`id` is the pool that the ceremony deployed a guard contract for.

    Either `product`, the document of its terms (schema moorage.terms/1), or a text and a spread.
    """

    id: str
    chain_id: int
    asset: str = Field(max_length=160)
    name: str = Field(min_length=1, max_length=64)
    tier: TierName
    terms: str | None = Field(default=None, min_length=1, max_length=16_384)
    spread_bps: int | None = Field(default=None, ge=0, le=SPREAD_BPS_MAX)
    product: Document | None = None


class Notice(Shape):
    """A venue whose money cannot be brought home now, and how much the books say lies there.

    It is not entered, and what it claims to earn is not counted until it is home.
    """

    venue: str
    code: str
    reason: str
    since: str
    amount: str


class PoolShown(Shape):
    id: str
    name: str
    chain_id: int
    asset: str
    share_asset: str
    tier: str
    state: str
    guard: str
    terms: str
    terms_hash: str
    spread_bps: int
    notices: list[Notice]


class PoolPage(Shape):
    items: list[PoolShown]
    next: str | None


class Consent(Shape):
    terms_hash: str = Field(max_length=80, description="of the terms as the holder read them")
    tier: TierName


class Consented(Shape):
    pool: str
    customer: str
    terms_hash: str
    tier: str


class Join(Shape):
    amount: str = Field(description="base units of the pool's asset")


class Joined(Shape):
    pool: str
    amount: str
    shares: str


class Leave(Shape):
    shares: str = Field(description="share units")


class Left(Shape):
    redemption: str
    pool: str
    shares: str


class HoldingShown(Shape):
    """`value` is floor(shares * assets / all shares)."""

    customer: str
    shares: str
    value: str


class Position(Shape):
    """sum of values + dust = liability; idle + venues + in_flight + unfunded = liability + spread.

    `price_ray`: base units of the asset for one share unit, times 10^27, rounded down.
    """

    pool: str
    asset: str
    liability: str
    shares: str
    price_ray: str
    idle: str
    venues: dict[str, str]
    in_flight: str
    unfunded: str
    spread: str
    dust: str
    holdings: list[HoldingShown]


def pool_id_of(text: str, field: str = "pool_id") -> PoolId:
    return PoolId(parse_id("pool", text, field))


def _view(item: Pool, notices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": format_id("pool", item.id),
        "name": item.name,
        "chain_id": item.chain_id,
        "asset": item.asset_id,
        "share_asset": item.share_asset,
        "tier": item.tier.value,
        "state": item.state,
        "guard": item.guard,
        "terms": item.terms,
        "terms_hash": item.terms_hash,
        "spread_bps": item.spread_bps,
        "notices": notices,
    }


def _holding(holding: Holding) -> dict[str, str]:
    return {
        "customer": format_id("customer", holding.customer_id),
        "shares": str(holding.shares),
        "value": str(holding.value),
    }


def _position(view: PoolView) -> dict[str, Any]:
    return {
        "pool": format_id("pool", view.pool.id),
        "asset": view.pool.asset_id,
        "liability": str(view.totals.assets),
        "shares": str(view.totals.shares),
        "price_ray": str(view.price_ray),
        "idle": str(view.idle),
        "venues": {venue: str(amount) for venue, amount in view.venues.items()},
        "in_flight": str(view.in_flight),
        "unfunded": str(view.unfunded),
        "spread": str(view.spread),
        "dust": str(view.dust),
        "holdings": [_holding(h) for h in view.holdings],
    }


def _check_product(body: NewPool) -> None:
    """Raises InvalidInput where the terms are given twice, or not whole."""
    for name in ("terms", "spread_bps"):
        given = getattr(body, name) is not None
        if given and body.product is not None:
            raise InvalidInput(name, "is in the product's document, and only there")
        if not given and body.product is None:
            raise InvalidInput(name, "is missing: it, or a product's document")


@routes.post("/v1/pools", access=TREASURY, command="pools create", answer=PoolShown, status=201)
async def create(body: NewPool, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Open a pool on the guard that the ceremony deployed for it."""
    asset = known_asset(deps.registry, body.asset)
    chain = known_chain(deps.registry, body.chain_id)
    if deps.registry.asset(asset).chain_id != chain.chain_id:
        raise InvalidInput("chain_id", "must be the asset's chain")
    id_ = pool_id_of(body.id, "id")
    _check_product(body)

    async def work(s: WriteSession) -> dict[str, Any]:
        guard = await places.place(s, who.tenant_id, chain.chain_id, places.guard(id_.hex))
        made = await pool.create(
            s,
            deps.registry,
            tenant_id=who.tenant_id,
            pool_id=id_,
            chain_id=chain.chain_id,
            asset_id=asset,
            name=body.name,
            guard=guard.address,
            tier=Tier(body.tier),
            terms=body.terms or "",
            spread_bps=body.spread_bps or 0,
            product=body.product,
            set_by=who.label,
            at=deps.clock.now(),
        )
        return _view(made, [])

    return await write.run(work)


@routes.get("/v1/pools", access=ANYONE, command="pools list", answer=PoolPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """The tenant's pools with their terms."""
    async with deps.db.read() as s:
        found = await books.pools(s, who.tenant_id)
        shown = [_view(p, await flags.notices(s, p)) for p in found]
    return page(shown, None)


@routes.get("/v1/pools/{pool_id}", access=ANYONE, command="pools show", answer=PoolShown)
async def show(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """One pool: its terms, their hash to opt in with, and what its holders should know."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        return answer(_view(item, await flags.notices(s, item)))


@routes.get("/v1/pools/{pool_id}/position", access=STAFF, command="pools position", answer=Position)
async def position(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Where the pool's money is and whose it is, at one moment, to the base unit."""
    async with deps.db.snapshot() as s:
        return answer(_position(await pool.view(s, who.tenant_id, pool_id_of(pool_id))))


@routes.get("/v1/pools/{pool_id}/me", access=HOLDER, command="pools me", answer=HoldingShown)
async def mine(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """The caller's part of a pool."""
    async with deps.db.snapshot() as s:
        found = await pool.mine(s, who.tenant_id, pool_id_of(pool_id), who.own_customer())
    return answer(_holding(found))


@routes.post(
    "/v1/pools/{pool_id}/opt-in",
    access=HOLDER,
    command="pools opt-in",
    answer=Consented,
    status=201,
)
async def opt_in(
    pool_id: str, body: Consent, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Accept exactly these terms and this tier. Nothing is pooled without it."""
    id_, customer = pool_id_of(pool_id), who.own_customer()

    async def work(s: WriteSession) -> dict[str, Any]:
        item = await books.pool(s, who.tenant_id, id_)
        await pool.opt_in(s, item, customer, body.terms_hash, body.tier, at=deps.clock.now())
        return {
            "pool": pool_id,
            "customer": format_id("customer", customer),
            "terms_hash": body.terms_hash,
            "tier": body.tier,
        }

    return await write.run(work)


@routes.post(
    "/v1/pools/{pool_id}/join", access=HOLDER, command="pools join", answer=Joined, status=201
)
async def join(pool_id: str, body: Join, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Put some of the caller's balance into the pool at the current share price."""
    id_, customer, amount = pool_id_of(pool_id), who.own_customer(), parse_amount(body.amount)

    async def work(s: WriteSession) -> dict[str, Any]:
        done = await pool.join(s, who.tenant_id, id_, customer, amount, at=deps.clock.now())
        return {"pool": pool_id, "amount": str(done.amount), "shares": str(done.shares)}

    return await write.run(work)


@routes.post(
    "/v1/pools/{pool_id}/leave", access=HOLDER, command="pools leave", answer=Left, status=201
)
async def leave(pool_id: str, body: Leave, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Turn shares back into the asset, at the price of the moment when the pool has it free."""
    id_, customer = pool_id_of(pool_id), who.own_customer()
    shares = parse_amount(body.shares, "shares")

    async def work(s: WriteSession) -> dict[str, Any]:
        redemption = await pool.leave(s, who.tenant_id, id_, customer, shares, at=deps.clock.now())
        return {
            "redemption": format_id("redemption", redemption),
            "pool": pool_id,
            "shares": str(shares),
        }

    return await write.run(work)

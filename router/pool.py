"""Pools: creation, consent, joining, leaving, and what each holder has.

A join moves a holder's claim from his account to the pool's and gives him shares for it; the
money follows on chain by an intent of its own (router/funding.py), only for what was opted in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chains.registry import Registry
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound, Refused
from custody.core.ids import CustomerId, PoolId, TenantId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.ledger import chart
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from router import books, claims, income, models, products
from router import terms as product_terms
from router.books import Pool, VenueRow
from router.fees import FIRST_PRICE_RAY, SPREAD_BPS_MAX
from router.shares import Totals
from router.states import PoolState
from router.tiers import Tier, within
from router.venues.kinds import check_config


async def create(
    s: WriteSession,
    registry: Registry,
    *,
    tenant_id: TenantId,
    pool_id: PoolId,
    chain_id: int,
    asset_id: AssetId,
    name: str,
    guard: str,
    tier: Tier,
    terms: str = "",
    spread_bps: int = 0,
    product: object | None = None,
    set_by: str = "operator",
    at: datetime,
) -> Pool:
    """Open a pool with a text and a spread, or with the document of its product terms.

    Raises Conflict if the tenant has one of this name, or the guard is taken.
    """
    stated = None if product is None else products.first(product, pool_id, tier.value)
    if stated is not None:
        terms, spread_bps = stated.text, stated.fees.spread_bps
    hash_ = product_terms.text_hash(terms) if stated is None else stated.hash
    if not 0 <= spread_bps <= SPREAD_BPS_MAX:
        raise InvalidInput("spread_bps", f"must be from 0 to {SPREAD_BPS_MAX}")
    taken = await s.first(
        "SELECT name FROM pools WHERE id = :id OR (chain_id = :chain AND guard = :guard)"
        " OR (tenant_id = :tenant AND name = :name)",
        {"id": pool_id, "chain": chain_id, "guard": guard, "tenant": tenant_id, "name": name},
    )
    if taken is not None:
        raise Conflict(f"a pool with this id, name or guard exists: {taken.name}")
    item = Pool(
        pool_id, tenant_id, chain_id, asset_id, name, guard, tier, PoolState.OPEN.value, terms,
        hash_, spread_bps, FIRST_PRICE_RAY, None, FIRST_PRICE_RAY, None, 0,
    )  # fmt: skip
    await s.execute(
        models.pools.insert(),
        {
            "id": pool_id, "tenant_id": tenant_id, "chain_id": chain_id, "asset_id": asset_id,
            "name": name, "guard": guard, "tier": tier.value, "state": item.state,
            "terms": terms, "terms_hash": item.terms_hash, "spread_bps": spread_bps,
            "high_water_ray": item.high_water_ray, "cap_ray": item.cap_ray, "created_at": at,
        },
    )  # fmt: skip
    await books.open_pool_accounts(s, item, registry)
    data = {
        "pool": format_id("pool", pool_id),
        "chain_id": str(chain_id),
        "asset": asset_id,
        "guard": guard,
        "terms_hash": item.terms_hash,
        "spread_bps": str(spread_bps),
    }
    await log.append(s, tenant_id, "pool.created", data, at=at)
    if stated is not None:
        await products.store(s, item, stated, set_by=set_by, at=at)
    return item


async def add_venue(
    s: WriteSession,
    item: Pool,
    venue_id: str,
    kind: str,
    tier: Tier,
    config: Mapping[str, Any],
    *,
    at: datetime,
) -> VenueRow:
    """List a venue for a pool and open its account. A policy must still give it a cap."""
    check_config(kind, config)
    if not within(tier, item.tier):
        raise Refused("tier", f"must not be riskier than the pool's: {item.tier.value}")
    row = VenueRow(venue_id, item.id, item.tenant_id, kind, tier, dict(config))
    await s.execute(
        models.venues.insert(),
        {
            "tenant_id": item.tenant_id, "id": venue_id, "pool_id": item.id, "kind": kind,
            "tier": tier.value, "config": dict(config), "created_at": at,
        },
    )  # fmt: skip
    await books.open_venue_account(s, item, row)
    return row


async def opt_in(
    s: WriteSession, item: Pool, customer: CustomerId, hash_: str, tier: str, *, at: datetime
) -> None:
    """Record that the holder accepts exactly these terms and this tier. Again is fine."""
    if hash_ != item.terms_hash:
        raise InvalidInput("terms_hash", "must be the hash of the pool's current terms")
    if tier != item.tier.value:
        raise InvalidInput("tier", f"must be the pool's tier: {item.tier.value}")
    if await consented(s, item, customer):
        return
    await s.execute(
        models.consents.insert(),
        {
            "id": new_uuid7(), "tenant_id": item.tenant_id, "pool_id": item.id,
            "customer_id": customer, "terms_hash": hash_, "tier": tier, "at": at,
        },
    )  # fmt: skip
    data = {
        "pool": format_id("pool", item.id),
        "customer": format_id("customer", customer),
        "terms_hash": hash_,
        "tier": tier,
    }
    await log.append(s, item.tenant_id, "pool.opted_in", data, at=at)


async def consented(s: ReadSession, item: Pool, customer: CustomerId) -> bool:
    """Whether the holder has accepted the terms as they are now."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM pool_consents WHERE pool_id = :pool"
            " AND customer_id = :customer AND terms_hash = :hash AND tier = :tier)",
            {
                "pool": item.id,
                "customer": customer,
                "hash": item.terms_hash,
                "tier": item.tier.value,
            },
        )
    )


@dataclass(frozen=True, slots=True)
class Joined:
    amount: int
    shares: int
    totals: Totals


async def join(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    customer: CustomerId,
    amount: int,
    *,
    at: datetime,
) -> Joined:
    """Exchange `amount` of the holder's balance for shares at the current price, rounded down.

    Raises Refused without consent to the current terms, or where these let nobody in;
    InsufficientFunds over the balance.
    """
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    if item.state != PoolState.OPEN:
        raise Refused("pool", "must be open to join")
    if not await consented(s, item, customer):
        raise Refused("terms_hash", "the holder must opt in to the current terms first")
    totals = await books.totals(s, item)
    if totals.shares > 0 and totals.assets == 0:
        raise Refused("pool", "has shares but no assets left")
    products.check_join(await products.current(s, item), totals.assets, amount, at)
    shares = totals.shares_down(amount)
    if shares == 0:
        raise InvalidInput("amount", "must buy at least one share unit")
    id_ = new_uuid7()
    await _post_join(s, item, customer, amount, shares, id_, at)
    await claims.add_funding(s, item, customer, amount, id_=id_, at=at)
    after = Totals(totals.assets + amount, totals.shares + shares)
    if totals.shares == 0:
        await products.begin(s, item, after)
    data = {
        "pool": format_id("pool", pool_id),
        "customer": format_id("customer", customer),
        "asset": item.asset_id,
        "amount": str(amount),
        "shares": str(shares),
        "terms_hash": item.terms_hash,
    }
    await log.append(s, tenant_id, "pool.joined", data, at=at)
    return Joined(amount, shares, after)


async def _post_join(
    s: WriteSession,
    item: Pool,
    customer: CustomerId,
    amount: int,
    shares: int,
    id_: Any,
    at: datetime,
) -> None:
    holder = await books.account(s, item, chart.customer(customer))
    pool_account = await books.account(s, item, chart.pool(item.id))
    issue = await books.account(s, item, chart.pool_shares(item.id), item.share_asset)
    holder_shares = await books.share_account(s, item, customer)
    group = derived_id(id_, "join")
    common: dict[str, Any] = {
        "tenant_id": item.tenant_id, "code": products.JOIN_CODE, "group_id": group,
        "event_at": at, "reference": format_id("pool", item.id),
    }  # fmt: skip
    await post_or_raise(
        s,
        [
            Transfer(derived_id(id_, "money"), debit=holder, credit=pool_account, amount=amount,
                     **common),
            Transfer(derived_id(id_, "shares"), debit=issue, credit=holder_shares, amount=shares,
                     **common),
        ],
    )  # fmt: skip


async def leave(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    customer: CustomerId,
    shares: int,
    *,
    at: datetime,
) -> Any:
    """Ask to turn `shares` back into the asset; the redemption's id.

    The shares are held now, wait for the notice, and are paid at the price of the moment when the
    pool has the money free. Raises Refused where the terms let nobody out, or not with so many.
    """
    item = await books.pool(s, tenant_id, pool_id, lock=True)
    stated = await products.current(s, item)
    await products.check_leave(s, item, stated, customer, shares, at)
    totals = await books.totals(s, item)
    if totals.value_down(shares) == 0:
        raise InvalidInput("shares", "must be worth at least one base unit")
    id_ = new_uuid7()
    hold = derived_id(id_, "hold")
    holder_shares = await books.share_account(s, item, customer)
    issue = await books.account(s, item, chart.pool_shares(item.id), item.share_asset)
    await post_or_raise(
        s,
        [
            Transfer(
                hold, tenant_id, holder_shares, issue, shares, "pool.leave",
                kind="pending", event_at=at, reference=format_id("pool", pool_id),
            )
        ],
    )  # fmt: skip
    due = at + timedelta(seconds=stated.notice_s)
    await claims.add_redemption(
        s, item, customer, hold, shares, None, None, id_=id_, at=at, due_at=due
    )
    return id_


@dataclass(frozen=True, slots=True)
class Holding:
    """One holder's part; `value` is floor(shares * assets / all shares)."""

    customer_id: CustomerId
    shares: int
    value: int


@dataclass(frozen=True, slots=True)
class PoolView:
    """Where the pool's money is and whose it is.

    sum(holding.value) + dust == liability, and
    idle + venues + in_flight + unfunded == liability + spread, which is all that is the
    operator's and still inside: spread, management fee, excess over a rate cap, fees of exits.
    """

    pool: Pool
    totals: Totals
    price_ray: int
    holdings: tuple[Holding, ...]
    dust: int
    idle: int
    venues: Mapping[str, int]
    in_flight: int
    unfunded: int
    spread: int


async def view(s: ReadSession, tenant_id: TenantId, pool_id: PoolId) -> PoolView:
    """Requires a session that sees one moment (`Database.snapshot`) for sums that match."""
    item = await books.pool(s, tenant_id, pool_id)
    totals = await books.totals(s, item)
    held = await holdings(s, item, totals)
    venues = {v.id: await books.posted(s, item, books.venue_code(v)) for v in
              await books.venues(s, pool_id)}  # fmt: skip
    spread = await s.scalar(
        "SELECT (SELECT coalesce(sum(spread + management + excess), 0) FROM accruals"
        " WHERE pool_id = :pool)"
        " + (SELECT coalesce(sum(paid_fees), 0) FROM redemptions WHERE pool_id = :pool)",
        {"pool": pool_id},
    )
    return PoolView(
        pool=item,
        totals=totals,
        price_ray=totals.price_ray_down,
        holdings=held,
        dust=totals.assets - sum(h.value for h in held),
        idle=await books.posted(s, item, chart.guard(pool_id)),
        venues=venues,
        in_flight=await books.in_flight_of(s, pool_id),
        unfunded=await books.unfunded(s, pool_id),
        spread=int(spread) - await income.paid(s, pool_id),
    )


async def holdings(s: ReadSession, item: Pool, totals: Totals) -> tuple[Holding, ...]:
    """Every holder with shares, by customer id. O(holders): for statements and audits only."""
    rows = await s.all(
        "SELECT owner_id, credits_posted - debits_posted AS shares FROM accounts"
        " WHERE tenant_id = :tenant AND asset_id = :asset AND owner_id IS NOT NULL"
        " AND credits_posted > debits_posted ORDER BY owner_id",
        {"tenant": item.tenant_id, "asset": item.share_asset},
    )
    return tuple(
        Holding(CustomerId(r.owner_id), int(r.shares), totals.value_down(int(r.shares)))
        for r in rows
    )


async def mine(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, customer: CustomerId
) -> Holding:
    """One holder's part. Raises NotFound for a pool he can't see."""
    item = await books.pool(s, tenant_id, pool_id)
    totals = await books.totals(s, item)
    shares = await books.posted(s, item, chart.customer(customer), item.share_asset)
    return Holding(customer, shares, totals.value_down(shares))


async def set_state(s: WriteSession, tenant_id: TenantId, pool_id: PoolId, new: PoolState) -> None:
    result = await s.execute(
        "UPDATE pools SET state = :new WHERE id = :id AND tenant_id = :tenant",
        {"new": new.value, "id": pool_id, "tenant": tenant_id},
    )
    if result.rowcount != 1:
        raise NotFound("pool", pool_id)

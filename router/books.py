"""The ledger accounts of one pool, and what its books say. Amounts are base units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chains.registry import Registry
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, NotFound
from custody.core.ids import AccountId, CustomerId, PoolId, TenantId
from custody.core.money import AssetId, share_asset
from custody.ledger import accounts, assets, balances, chart
from router.fees import Marks
from router.shares import Totals
from router.tiers import Tier
from router.venues.kinds import holding_kind


@dataclass(frozen=True, slots=True)
class Pool:
    """One (tenant, chain, asset, guard)."""

    id: PoolId
    tenant_id: TenantId
    chain_id: int
    asset_id: AssetId
    name: str
    guard: str
    tier: Tier
    state: str
    terms: str
    terms_hash: str
    spread_bps: int
    high_water_ray: int
    high_water_at: int | None
    cap_ray: int
    cap_at: int | None
    management_rest: int

    def marks(self, at: int) -> Marks:
        """What fees are counted from; lines that have not begun yet begin at `at`, Unix seconds."""
        high = at if self.high_water_at is None else self.high_water_at
        cap = at if self.cap_at is None else self.cap_at
        return Marks(self.high_water_ray, high, self.cap_ray, cap, self.management_rest)

    @property
    def share_asset(self) -> AssetId:
        return share_asset(self.id.hex)


@dataclass(frozen=True, slots=True)
class VenueRow:
    """A venue as configured; `config` holds contracts, the guard's venue id, exchange, product."""

    id: str
    pool_id: PoolId
    tenant_id: TenantId
    kind: str
    tier: Tier
    config: Mapping[str, Any]

    @property
    def exchange(self) -> bool:
        return self.kind == "exchange"


_POOL = (
    "SELECT id, tenant_id, chain_id, asset_id, name, guard, tier, state, terms, terms_hash,"
    " spread_bps, high_water_ray, high_water_at, cap_ray, cap_at, management_rest FROM pools"
)


def _pool(row: Any) -> Pool:
    return Pool(
        PoolId(row.id),
        TenantId(row.tenant_id),
        row.chain_id,
        AssetId(row.asset_id),
        row.name,
        row.guard,
        Tier(row.tier),
        row.state,
        row.terms,
        row.terms_hash,
        row.spread_bps,
        int(row.high_water_ray),
        row.high_water_at,
        int(row.cap_ray),
        row.cap_at,
        int(row.management_rest),
    )


async def pool(s: ReadSession, tenant_id: TenantId, pool_id: PoolId, *, lock: bool = False) -> Pool:
    """Raises NotFound. With `lock`, whoever else wants to change this pool waits."""
    row = await s.first(
        f"{_POOL} WHERE id = :id AND tenant_id = :tenant" + (" FOR UPDATE" if lock else ""),
        {"id": pool_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("pool", pool_id)
    return _pool(row)


async def pools(s: ReadSession, tenant_id: TenantId | None = None) -> list[Pool]:
    """All pools, of one tenant or of all, oldest first."""
    rows = await s.all(
        f"{_POOL} WHERE CAST(:tenant AS uuid) IS NULL OR tenant_id = :tenant ORDER BY id",
        {"tenant": tenant_id},
    )
    return [_pool(row) for row in rows]


async def by_share_asset(s: ReadSession, tenant_id: TenantId, asset: AssetId) -> Pool:
    return await pool(s, tenant_id, PoolId(UUID(hex=asset.removeprefix("share:"))))


async def venues(s: ReadSession, pool_id: PoolId) -> list[VenueRow]:
    """The pool's venues by id."""
    rows = await s.all(
        "SELECT id, pool_id, tenant_id, kind, tier, config FROM venues"
        " WHERE pool_id = :pool ORDER BY id",
        {"pool": pool_id},
    )
    return [
        VenueRow(
            r.id, PoolId(r.pool_id), TenantId(r.tenant_id), r.kind, Tier(r.tier), dict(r.config)
        )
        for r in rows
    ]


async def venue(s: ReadSession, pool_id: PoolId, venue_id: str) -> VenueRow:
    for row in await venues(s, pool_id):
        if row.id == venue_id:
            return row
    raise NotFound("venue", venue_id)


def venue_code(item: VenueRow) -> str:
    """The ledger account of what lies at a venue."""
    return chart.exchange(item.id) if item.exchange else chart.venue(item.pool_id, item.id)


async def tiers_by_account(s: ReadSession, tenant_id: TenantId) -> dict[str, str]:
    """The tier of each venue of a tenant, by the code of its account."""
    found = [v for item in await pools(s, tenant_id) for v in await venues(s, item.id)]
    return {venue_code(v): v.tier.value for v in found}


async def open_pool_accounts(s: WriteSession, item: Pool, registry: Registry) -> None:
    """Register the share asset and open the pool's accounts. Idempotent."""
    info = registry.asset(item.asset_id)
    await assets.register(s, item.share_asset, f"share of {item.name}"[:32], info.decimals + 6)
    kind = "native" if info.address is None else "erc20"
    place = chart.location(kind, item.chain_id, info.address, item.guard)
    await accounts.ensure(
        s, item.tenant_id, chart.guard(item.id), item.asset_id, "asset", location=place
    )
    await accounts.ensure(s, item.tenant_id, chart.pool(item.id), item.asset_id, "liability")
    await accounts.ensure(
        s,
        item.tenant_id,
        chart.pool_shares(item.id),
        item.share_asset,
        "equity",
        may_go_negative=True,
    )


async def open_venue_account(s: WriteSession, item: Pool, at: VenueRow) -> AccountId:
    """The account says where the money is, so that reconciliation knows no venue by name."""
    config = at.config
    place: dict[str, Any]
    if at.exchange:
        holder = f"{config['exchange']}/{config['product']}"
        place = {**chart.location("exchange", None, None, holder), "asset": config["asset"]}
    else:
        place = {
            **chart.location(holding_kind(at.kind), item.chain_id, config["token"], item.guard),
            "venue": config["guard_venue"],
        }
    return await accounts.ensure(
        s, item.tenant_id, venue_code(at), item.asset_id, "asset", location=place
    )


async def account(s: ReadSession, item: Pool, code: str, asset: AssetId | None = None) -> AccountId:
    """An account of the pool's tenant that must be there. Raises Broken if it isn't."""
    found = await accounts.find(s, item.tenant_id, code, asset or item.asset_id)
    if found is None:
        raise Broken(f"no account {code} in {asset or item.asset_id}")
    return found.id


async def in_flight(s: WriteSession, item: Pool) -> AccountId:
    """Shared with withdrawals; what of it is this pool's is in the legs."""
    return await accounts.in_flight(s, item.tenant_id, item.chain_id, item.asset_id)


async def available(s: ReadSession, item: Pool, code: str, asset: AssetId | None = None) -> int:
    """Posted less what is held to leave; 0 if there is no such account yet."""
    found = await accounts.find(s, item.tenant_id, code, asset or item.asset_id)
    return 0 if found is None else balances.balance_of(found).available


async def posted(s: ReadSession, item: Pool, code: str, asset: AssetId | None = None) -> int:
    found = await accounts.find(s, item.tenant_id, code, asset or item.asset_id)
    return 0 if found is None else balances.balance_of(found).posted


async def in_flight_of(s: ReadSession, pool_id: PoolId) -> int:
    """Between the guard and an exchange, either way."""
    amount = await s.scalar(
        "SELECT coalesce(sum(amount), 0) FROM legs WHERE pool_id = :pool"
        " AND ((action = 'enter' AND state = 'released')"
        "   OR (action = 'exit' AND state = 'arriving'))",
        {"pool": pool_id},
    )
    return int(amount)


async def unfunded(s: ReadSession, pool_id: PoolId) -> int:
    """Opted in and not in the guard yet."""
    amount = await s.scalar(
        "SELECT coalesce(sum(amount), 0) FROM pool_fundings WHERE pool_id = :pool"
        " AND state <> 'funded'",
        {"pool": pool_id},
    )
    return int(amount)


async def inside(s: ReadSession, item: Pool) -> int:
    """All that is of the pool, wherever it lies: holders' and the operator's."""
    there = await posted(s, item, chart.guard(item.id))
    for row in await venues(s, item.id):
        there += await posted(s, item, venue_code(row))
    return there + await in_flight_of(s, item.id) + await unfunded(s, item.id)


async def totals(s: ReadSession, item: Pool) -> Totals:
    assets_ = await posted(s, item, chart.pool(item.id))
    shares = -await posted(s, item, chart.pool_shares(item.id), item.share_asset)
    return Totals(assets_, shares)


async def share_account(s: WriteSession, item: Pool, customer: CustomerId) -> AccountId:
    return await accounts.ensure(
        s,
        item.tenant_id,
        chart.customer(customer),
        item.share_asset,
        "liability",
        owner_id=customer,
    )

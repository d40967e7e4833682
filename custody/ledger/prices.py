"""What holdings are worth at a block: share prices of pools, and marks of accounts elsewhere.

Both are append-only facts written by whoever read the chain; statements and solvency only read
them here. The newest is the one of the highest block, and within a block the last written.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from custody.core.db import ReadSession, WriteSession
from custody.core.ids import AccountId, PoolId, TenantId, new_uuid7
from custody.core.money import AssetId, mul_div_down

RAY = 10**27


@dataclass(frozen=True, slots=True)
class SharePrice:
    """`price_ray` is base units of `asset_id` for one base unit of share, times 10^27, floored."""

    pool_id: PoolId
    asset_id: AssetId
    price_ray: int
    total_assets: int
    total_shares: int
    chain_id: int
    block_number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """What an account's holding was worth at a block, in base units of the account's asset."""

    account_id: AccountId
    chain_id: int
    block_number: int
    value: int
    at: datetime


def value_down(shares: int, price_ray: int) -> int:
    """What `shares` are worth, rounded in favour of the pool."""
    return mul_div_down(shares, price_ray, RAY)


async def record_price(s: WriteSession, tenant_id: TenantId, price: SharePrice) -> None:
    await s.execute(
        """
        INSERT INTO share_prices (id, tenant_id, pool_id, asset_id, price_ray, total_assets,
                                  total_shares, chain_id, block_number, at)
        VALUES (:id, :tenant, :pool, :asset, :price, :assets, :shares, :chain, :block, :at)
        """,
        {
            "id": new_uuid7(),
            "tenant": tenant_id,
            "pool": price.pool_id,
            "asset": price.asset_id,
            "price": price.price_ray,
            "assets": price.total_assets,
            "shares": price.total_shares,
            "chain": price.chain_id,
            "block": price.block_number,
            "at": price.at,
        },
    )


_PRICES = """
SELECT pool_id, asset_id, price_ray, total_assets, total_shares, chain_id, block_number, at
FROM share_prices
WHERE pool_id = :pool AND tenant_id = :tenant
"""


async def latest_price(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, block: int | None = None
) -> SharePrice | None:
    """The newest price, or the newest of blocks up to `block`; None before the first."""
    bound = "" if block is None else "AND block_number <= :block "
    row = await s.first(
        f"{_PRICES} {bound} ORDER BY block_number DESC, id DESC LIMIT 1",
        {"pool": pool_id, "tenant": tenant_id, "block": block},
    )
    return None if row is None else _price(row)


async def price_history(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, limit: int = 1000
) -> list[SharePrice]:
    """The last `limit` prices, oldest first."""
    rows = await s.all(
        f"{_PRICES} ORDER BY block_number DESC, id DESC LIMIT :limit",
        {"pool": pool_id, "tenant": tenant_id, "limit": limit},
    )
    return [_price(row) for row in reversed(rows)]


async def daily_prices(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, until: datetime, days: int
) -> list[tuple[datetime, int]]:
    """(the day's end, the last price by then) for up to `days` days (UTC) that end with `until`'s.

    Days before the first price are left out; a day without a price has that of the day before.
    """
    rows = await s.all(
        """
        SELECT d.ends, p.price_ray
        FROM generate_series(0, :days - 1) AS n
        CROSS JOIN LATERAL (
            SELECT ((CAST(:until AS timestamptz) AT TIME ZONE 'UTC')::date + 1 - n)
                ::timestamp AT TIME ZONE 'UTC' AS ends
        ) AS d
        CROSS JOIN LATERAL (
            SELECT price_ray FROM share_prices
            WHERE pool_id = :pool AND tenant_id = :tenant AND at < d.ends
            ORDER BY at DESC, block_number DESC, id DESC LIMIT 1
        ) AS p
        ORDER BY d.ends
        """,
        {"tenant": tenant_id, "pool": pool_id, "until": until, "days": days},
    )
    return [(row.ends, int(row.price_ray)) for row in rows]


async def record_mark(s: WriteSession, tenant_id: TenantId, mark: Mark) -> None:
    await s.execute(
        """
        INSERT INTO marks (id, tenant_id, account_id, chain_id, block_number, value, at)
        VALUES (:id, :tenant, :account, :chain, :block, :value, :at)
        """,
        {
            "id": new_uuid7(),
            "tenant": tenant_id,
            "account": mark.account_id,
            "chain": mark.chain_id,
            "block": mark.block_number,
            "value": mark.value,
            "at": mark.at,
        },
    )


async def latest_mark(
    s: ReadSession, tenant_id: TenantId, account_id: AccountId, block: int | None = None
) -> Mark | None:
    """The newest mark, or the newest of blocks up to `block`; None before the first."""
    bound = "" if block is None else "AND block_number <= :block "
    row = await s.first(
        "SELECT account_id, chain_id, block_number, value, at FROM marks "
        f"WHERE account_id = :account AND tenant_id = :tenant {bound}"
        "ORDER BY block_number DESC, id DESC LIMIT 1",
        {"account": account_id, "tenant": tenant_id, "block": block},
    )
    if row is None:
        return None
    return Mark(AccountId(row.account_id), row.chain_id, row.block_number, int(row.value), row.at)


def _price(row: Row[Any]) -> SharePrice:
    return SharePrice(
        pool_id=PoolId(row.pool_id),
        asset_id=AssetId(row.asset_id),
        price_ray=int(row.price_ray),
        total_assets=int(row.total_assets),
        total_shares=int(row.total_shares),
        chain_id=row.chain_id,
        block_number=row.block_number,
        at=row.at,
    )

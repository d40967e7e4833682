"""Quotes: what a withdrawal will cost, stored so that the request can bind exactly this."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from custody.billing import plans
from custody.billing.fees import charges
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import CustomerId, QuoteId, TenantId, format_id, new_uuid7
from custody.core.money import AssetId
from custody.withdrawals.deps import WithdrawalDeps

QUOTE_LIFE_S = 600


@dataclass(frozen=True, slots=True)
class Quote:
    """Base units: gross = net + network_fee + service_fee, by this version of the fee plan."""

    id: QuoteId
    tenant_id: TenantId
    customer_id: CustomerId
    chain_id: int
    asset_id: AssetId
    gross: int
    network_fee: int
    service_fee: int
    net: int
    fee_plan: str
    fee_plan_version: int
    expires_at: datetime


_COLUMNS = (
    "id, tenant_id, customer_id, chain_id, asset_id, gross, network_fee, service_fee, net,"
    " fee_plan, fee_plan_version, expires_at"
)


async def make(
    s: WriteSession,
    deps: WithdrawalDeps,
    tenant_id: TenantId,
    customer_id: CustomerId,
    asset_id: AssetId,
    gross: int,
    *,
    at: datetime,
) -> Quote:
    """Requires a known asset. Raises InvalidInput where the fees eat the amount."""
    asset = deps.registry.asset(asset_id)
    plan = await plans.of_customer(s, deps.fees, tenant_id, customer_id, asset_id)
    c = charges(plan.rate, gross)
    quote = Quote(
        QuoteId(new_uuid7()),
        tenant_id,
        customer_id,
        asset.chain_id,
        asset_id,
        c.gross,
        c.network_fee,
        c.service_fee,
        c.net,
        plan.name,
        plan.version,
        at + timedelta(seconds=QUOTE_LIFE_S),
    )
    await s.execute(
        f"INSERT INTO quotes ({_COLUMNS}, created_at) VALUES (:id, :tenant, :customer, :chain,"
        " :asset, :gross, :network_fee, :service_fee, :net, :plan, :plan_version,"
        " :expires_at, :at)",
        {
            "id": quote.id,
            "tenant": tenant_id,
            "customer": customer_id,
            "chain": quote.chain_id,
            "asset": asset_id,
            "gross": quote.gross,
            "network_fee": quote.network_fee,
            "service_fee": quote.service_fee,
            "net": quote.net,
            "plan": quote.fee_plan,
            "plan_version": quote.fee_plan_version,
            "expires_at": quote.expires_at,
            "at": at,
        },
    )
    return quote


async def get(
    s: ReadSession,
    tenant_id: TenantId,
    customer_id: CustomerId,
    quote_id: QuoteId,
    *,
    lock: bool = False,
) -> Quote:
    """Raises NotFound for another customer's quote as for none. With `lock`, one user at a time."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM quotes WHERE id = :id AND tenant_id = :tenant"
        " AND customer_id = :customer" + (" FOR UPDATE" if lock else ""),
        {"id": quote_id, "tenant": tenant_id, "customer": customer_id},
    )
    if row is None:
        raise NotFound("quote", format_id("quote", quote_id))
    values = dict(row._mapping)
    for name in ("gross", "network_fee", "service_fee", "net"):
        values[name] = int(values[name])
    return Quote(**values)

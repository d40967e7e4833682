"""Named fee plans in versions, and which plan a customer has.

A version is never changed and a quote stores its own fees, so a new version, or another plan,
concerns only what is quoted from then on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from custody.audit import log
from custody.billing.fees import BPS, FeePlan, FeeTable
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import CustomerId, TenantId, format_id
from custody.core.money import AssetId
from custody.parties import customers

DEFAULT = "default"
"""The installation's own table, of version 0; no plan can have this name."""
NAME = "[a-z0-9][a-z0-9-]{0,31}"
_NAME = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """One version of a plan; `rates` by asset, in base units of it."""

    name: str
    version: int
    rates: Mapping[AssetId, FeePlan]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """What one customer pays for one asset, and by which version of which plan."""

    name: str
    version: int
    rate: FeePlan


async def put(
    s: WriteSession,
    tenant_id: TenantId,
    name: str,
    rates: Mapping[AssetId, FeePlan],
    *,
    at: datetime,
) -> NamedPlan:
    """A new version of the plan; the newest again if it says the same. Assets must be known.

    Raises InvalidInput naming the field, or Conflict where another version came first.
    """
    _check(name, rates)
    last = await newest(s, tenant_id, name)
    if last is not None and last.rates == rates:
        return last
    plan = NamedPlan(name, 1 if last is None else last.version + 1, dict(rates), at)
    key = {"tenant": tenant_id, "name": name, "version": plan.version}
    made = await s.execute(
        "INSERT INTO fee_plans (tenant_id, name, version, created_at)"
        " VALUES (:tenant, :name, :version, :at) ON CONFLICT DO NOTHING",
        {**key, "at": at},
    )
    if made.rowcount != 1:
        raise Conflict("this plan has just got another version", field="name", rule="one at a time")
    await s.execute(
        "INSERT INTO fee_plan_rates (tenant_id, name, version, asset_id, network, service_bps,"
        " service_min, service_max) VALUES (:tenant, :name, :version, :asset, :network, :bps,"
        " :min, :max)",
        [
            {
                **key,
                "asset": asset,
                "network": rate.network,
                "bps": rate.service_bps,
                "min": rate.service_min,
                "max": rate.service_max,
            }
            for asset, rate in rates.items()
        ],
    )
    data: dict[str, Json] = {
        "name": name,
        "version": str(plan.version),
        "rates": {asset: rate.to_json() for asset, rate in rates.items()},
    }
    await log.append(s, tenant_id, "fee_plan.set", data, at=at)
    return plan


def _check(name: str, rates: Mapping[AssetId, FeePlan]) -> None:
    """In this order: name, whether there are rates, then of each asset bps, amounts, bounds."""
    if not _NAME.fullmatch(name) or name == DEFAULT:
        raise InvalidInput("name", f"must be 1 to 32 of a-z 0-9 -, and not {DEFAULT!r}")
    if not rates:
        raise InvalidInput("rates", "must have an asset at least")
    for asset, rate in rates.items():
        field = f"rates.{asset}"
        if not 0 <= rate.service_bps < BPS:
            raise InvalidInput(f"{field}.service_bps", f"must be 0 to {BPS - 1}")
        if min(rate.network, rate.service_min) < 0:
            raise InvalidInput(field, "must not have a fee below zero")
        if rate.service_max is not None and rate.service_max < rate.service_min:
            raise InvalidInput(f"{field}.service_max", "must not be below service_min")


async def assign(
    s: WriteSession, tenant_id: TenantId, customer_id: CustomerId, name: str, *, at: datetime
) -> NamedPlan | None:
    """Give the customer a plan, of which the newest version counts; None for the installation's.

    Raises NotFound for an unknown customer or plan.
    """
    await customers.get(s, tenant_id, customer_id, "customer_id")
    plan = None if name == DEFAULT else await newest(s, tenant_id, name)
    if plan is None and name != DEFAULT:
        raise NotFound("fee plan", name, "plan")
    await s.execute(
        "INSERT INTO customer_fee_plans (tenant_id, customer_id, name, assigned_at)"
        " VALUES (:tenant, :customer, :name, :at) ON CONFLICT (tenant_id, customer_id)"
        " DO UPDATE SET name = :name, assigned_at = :at",
        {"tenant": tenant_id, "customer": customer_id, "name": name, "at": at},
    )
    data = {"customer": format_id("customer", customer_id), "name": name}
    await log.append(s, tenant_id, "fee_plan.assigned", data, at=at)
    return plan


async def of_customer(
    s: ReadSession, default: FeeTable, tenant_id: TenantId, customer_id: CustomerId, asset: AssetId
) -> Applied:
    """What the customer is charged today. Raises Refused where the plan does not have the asset."""
    name = await s.scalar(
        "SELECT name FROM customer_fee_plans WHERE tenant_id = :tenant AND customer_id = :customer",
        {"tenant": tenant_id, "customer": customer_id},
    )
    plan = None if name in (None, DEFAULT) else await newest(s, tenant_id, str(name))
    if plan is None:
        return Applied(DEFAULT, 0, default.plan(asset))
    return Applied(plan.name, plan.version, FeeTable(plan.rates).plan(asset))


async def newest(s: ReadSession, tenant_id: TenantId, name: str) -> NamedPlan | None:
    found = await _load(s, tenant_id, name)
    return found[0] if found else None


async def listing(s: ReadSession, tenant_id: TenantId) -> list[NamedPlan]:
    """The newest version of every plan, by name."""
    return await _load(s, tenant_id, None)


async def _load(s: ReadSession, tenant_id: TenantId, name: str | None) -> list[NamedPlan]:
    rows = await s.all(
        "SELECT p.name, p.version, p.created_at, r.asset_id, r.network, r.service_bps,"
        " r.service_min, r.service_max FROM fee_plans p JOIN fee_plan_rates r"
        " USING (tenant_id, name, version) WHERE p.tenant_id = :tenant"
        " AND (CAST(:name AS text) IS NULL OR p.name = :name) AND p.version = ("
        "SELECT max(version) FROM fee_plans n WHERE n.tenant_id = :tenant AND n.name = p.name)"
        " ORDER BY p.name, r.asset_id",
        {"tenant": tenant_id, "name": name},
    )
    rates: dict[tuple[str, int, datetime], dict[AssetId, FeePlan]] = {}
    for r in rows:
        most = None if r.service_max is None else int(r.service_max)
        rate = FeePlan(int(r.network), r.service_bps, int(r.service_min), most)
        rates.setdefault((r.name, r.version, r.created_at), {})[AssetId(r.asset_id)] = rate
    return [NamedPlan(n, version, of, at) for (n, version, at), of in rates.items()]

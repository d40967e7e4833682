"""Fee plans: named, in versions that never change; customers without one pay by the installation's.

A change concerns what is quoted from then on: a quote, and a batch that was asked for, keep theirs.
"""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.inputs import known_asset
from api.routing import Routes
from api.writes import Writing
from custody.billing import plans
from custody.billing.fees import FeePlan
from custody.billing.plans import NAME, NamedPlan
from custody.core.clock import iso_us
from custody.core.ids import CustomerId, parse_id
from custody.core.money import AssetId, parse_amount

routes = Routes("fee-plans")


class Rate(Shape):
    network: str = Field(description="flat network fee, base units of the asset")
    service_bps: int = Field(strict=True, ge=0, le=9_999, description="share of the gross, bps")
    service_min: str = Field(default="0", description="service fee at least, base units")
    service_max: str | None = Field(default=None, description="service fee at most, base units")


class NewPlan(Shape):
    name: str = Field(pattern=f"^{NAME}$", description="'default' is the installation's own")
    rates: dict[str, Rate] = Field(
        min_length=1, max_length=200, description="by asset id; another asset cannot be withdrawn"
    )


class PlanView(Shape):
    name: str
    version: int
    rates: dict[str, Rate]
    created_at: str


class PlanPage(Shape):
    items: list[PlanView]
    next: str | None


class Assign(Shape):
    plan: str = Field(pattern=f"^{NAME}$", description="'default' is the installation's own")


class Assigned(Shape):
    customer: str
    plan: str
    version: int = Field(description="0 for the installation's own")


def _view(plan: NamedPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "version": plan.version,
        "rates": {asset: rate.to_json() for asset, rate in plan.rates.items()},
        "created_at": iso_us(plan.created_at),
    }


def _parse(body: NewPlan, deps: Deps) -> dict[AssetId, FeePlan]:
    """Of each asset: its id, network fee, least and most service fee. Raises InvalidInput."""
    return {
        known_asset(deps.registry, asset, f"rates.{asset}"): _rate(rate, f"rates.{asset}")
        for asset, rate in body.rates.items()
    }


def _rate(rate: Rate, field: str) -> FeePlan:
    least = parse_amount(rate.service_min, f"{field}.service_min", minimum=0)
    most = rate.service_max
    return FeePlan(
        parse_amount(rate.network, f"{field}.network", minimum=0),
        rate.service_bps,
        least,
        None if most is None else parse_amount(most, f"{field}.service_max", minimum=0),
    )


@routes.get("/v1/fee-plans", access=STAFF, command="fee-plans list", answer=PlanPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """The newest version of every plan, by name."""
    async with deps.db.read() as s:
        found = await plans.listing(s, who.tenant_id)
    return page([_view(p) for p in found], None)


@routes.post("/v1/fee-plans", access=TREASURY, command="fee-plans put", answer=PlanView, status=201)
async def put(body: NewPlan, who: Who, deps: UseDeps, s: Writing) -> Response:
    """A new version of a plan, in force at once; the same again stays the version that it is."""
    rates = _parse(body, deps)
    made = await plans.put(s, who.tenant_id, body.name, rates, at=deps.clock.now())
    return answer(_view(made), 201)


@routes.post(
    "/v1/customers/{customer_id}/fee-plan",
    access=TREASURY,
    command="fee-plans assign",
    answer=Assigned,
)
async def assign(customer_id: str, body: Assign, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Give a customer a plan, of which the newest version counts from now on."""
    id_ = CustomerId(parse_id("customer", customer_id, "customer_id"))
    plan = await plans.assign(s, who.tenant_id, id_, body.plan, at=deps.clock.now())
    version = 0 if plan is None else plan.version
    return answer({"customer": customer_id, "plan": body.plan, "version": version})

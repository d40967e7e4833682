"""Advice: which mix of tiers fits what a holder says. It moves nothing and agrees to nothing."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import HOLDER
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import known_asset
from api.routing import Routes
from router import offers
from router.advice import Advice, Facts, Part, Wish, advise

routes = Routes("advice")
Asset = Annotated[str, Query(max_length=160)]
Days = Annotated[int, Query(ge=1, le=730)]
Soon = Annotated[int, Query(ge=0, le=730, description="within so many days")]
Bps = Annotated[int, Query(ge=0, le=10_000, description="in hundredths of a percent of it all")]


class Range(Shape):
    """Returns over the horizon in ray (10^27 is 100 %): of a tenth, half and nine tenths of all
    past windows not more than this was earned."""

    low_ray: str
    middle_ray: str
    high_ray: str


class PartView(Shape):
    """`worst_fall_ray`: the most that was lost within a horizon, in ray; `fell_on` ended it."""

    tier: str
    pool: str | None
    share_bps: int
    reason: str
    windows: int
    pooled: bool
    range: Range | None
    worst_fall_ray: str | None
    fell_on: str | None


class AdviceView(Shape):
    """Parts sum to 10,000. The past of the mix is as if all its bad times came together."""

    asset: str
    parts: list[PartView]
    enough_history: bool = Field(description="false: nothing is known of what may be joined")
    range: Range | None
    worst_fall_ray: str
    binding: list[str]


def _range(found: tuple[int, int, int] | None) -> dict[str, str] | None:
    if found is None:
        return None
    return dict(zip(("low_ray", "middle_ray", "high_ray"), map(str, found), strict=True))


def _part(part: Part) -> dict[str, Any]:
    facts: Facts | None = part.facts
    return {
        "tier": part.tier,
        "pool": part.pool,
        "share_bps": part.share_bps,
        "reason": part.reason,
        "windows": 0 if facts is None else facts.windows,
        "pooled": facts is not None and facts.pooled,
        "range": None if facts is None else _range(facts.range_ray),
        "worst_fall_ray": None if facts is None else str(facts.fall_ray),
        "fell_on": None if facts is None or facts.fell is None else facts.fell.isoformat(),
    }


def _view(asset: str, found: Advice) -> dict[str, Any]:
    return {
        "asset": asset,
        "parts": [_part(p) for p in found.parts],
        "enough_history": any(p.facts is not None for p in found.parts),
        "range": _range(found.range_ray),
        "worst_fall_ray": str(found.fall_ray),
        "binding": list(found.binding),
    }


@routes.get("/v1/advice", access=HOLDER, command="advice show", answer=AdviceView)
async def show(
    who: Who,
    deps: UseDeps,
    asset: Asset,
    horizon_days: Days,
    loss_bps: Bps,
    liquidity_bps: Bps = 0,
    liquidity_days: Soon = 0,
) -> Response:
    """The mix that earned most within the horizon, the need of money and the tolerance of loss."""
    wish = Wish(horizon_days, liquidity_bps, liquidity_days, loss_bps)
    known = known_asset(deps.registry, asset)
    async with deps.db.snapshot() as s:
        found = await offers.offers(s, who.tenant_id, known, deps.clock.now())
    return answer(_view(asset, advise(wish, found)))

"""Reference prices: what each source says, and what decisions make of it."""

from datetime import datetime
from typing import Any

from starlette.responses import Response

from api.answers import Shape, page
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from custody.core.money import AssetId
from custody.core.prices import Price, PriceFault
from custody.policy import reference

routes = Routes("prices")


class QuoteView(Shape):
    """`value / 10^scale` of the currency for one base unit."""

    currency: str
    value: str
    scale: int
    source: str
    as_of: str
    block: str | None


class PriceView(Shape):
    """`fault` says why rules that ask for a price refuse; None where the two agree."""

    asset: str
    agreed: QuoteView | None
    fault: str | None
    sources: list[QuoteView]


class PricePage(Shape):
    items: list[PriceView]
    next: str | None


@routes.get("/v1/prices", access=STAFF, command="prices list", answer=PricePage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Every asset that a source has spoken of lately."""
    now = deps.clock.now()
    async with deps.db.read() as s:
        found = [
            (asset, await reference.quotes(s, asset, now=now))
            for asset in await reference.priced(s, now=now)
        ]
    return page([_view(asset, quotes, now) for asset, quotes in found], None)


def _view(asset: AssetId, quotes: list[Price], now: datetime) -> dict[str, Any]:
    result = reference.settle(quotes, now)
    is_fault = isinstance(result, PriceFault)
    return {
        "asset": asset,
        "agreed": None if isinstance(result, PriceFault) else _quote(result.higher),
        "fault": result.value if is_fault else None,
        "sources": [_quote(q) for q in quotes],
    }


def _quote(price: Price) -> dict[str, Any]:
    body = price.to_json()
    return {name: body[name] for name in QuoteView.model_fields}

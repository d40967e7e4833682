"""The exchange's ticker as a price source: exact decimals, nothing from what is not understood."""

from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from custody.core.clock import FixedClock
from custody.core.money import AssetId
from custody.core.ports import PriceUnavailable
from router.venues.cefi.ticker import Symbol, TickerSource, parse_decimal

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USDC = AssetId("eip155:1/erc20:0x" + "ab" * 20)


def source(answer: Any, status: int = 200) -> TickerSource:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v3/ticker/price"
        assert dict(request.url.params) == {"symbol": "USDCUSDT"}
        if answer is None:
            raise httpx.ReadTimeout("late")
        content = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return httpx.Response(status, content=content)

    made = TickerSource(
        "binance", "http://exchange", {USDC: Symbol("USDCUSDT", "USD", 6)}, FixedClock(NOW)
    )
    made._client = httpx.AsyncClient(
        base_url="http://exchange", transport=httpx.MockTransport(serve)
    )
    return made


async def test_a_price_of_a_base_unit() -> None:
    got = await source({"symbol": "USDCUSDT", "price": "0.99990000"}).price(USDC)
    assert (got.value, got.scale, got.currency) == (99_990_000, 8 + 6, "USD")
    assert (got.source, got.as_of, got.block) == ("ticker:binance/usdcusdt", NOW, None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, 200),
        (b"<html>", 200),
        ([], 200),
        ({"symbol": "USDCUSDT"}, 200),
        ({"symbol": "USDCUSDT", "price": 1.0}, 200),
        ({"symbol": "USDCUSDT", "price": "1e3"}, 200),
        ({"symbol": "USDCUSDT", "price": "-1"}, 200),
        ({"symbol": "USDCUSDT", "price": "0.00000000"}, 200),
        ({"symbol": "BTCUSDT", "price": "1"}, 200),
        ({"symbol": "USDCUSDT", "price": "1"}, 503),
        ({"code": -1121, "msg": "Invalid symbol."}, 400),
    ],
)
async def test_what_is_not_understood_is_no_price(answer: Any, status: int) -> None:
    """Property 56: garbage, zero, another symbol or none."""
    with pytest.raises(PriceUnavailable):
        await source(answer, status).price(USDC)


async def test_an_asset_without_a_symbol_has_none() -> None:
    with pytest.raises(PriceUnavailable):
        await source({}).price(AssetId("other"))


@pytest.mark.parametrize(
    ("text", "exact"), [("1", (1, 0)), ("3000.10", (300_010, 2)), ("0.5", (5, 1)), ("٣", None)]
)
def test_decimals_are_exact(text: str, exact: tuple[int, int] | None) -> None:
    if exact is None:
        with pytest.raises(PriceUnavailable):
            parse_decimal(text)
    else:
        assert parse_decimal(text) == exact

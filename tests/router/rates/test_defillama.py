"""The yield feed: what of a row may be believed, and what is no answer at all."""

from datetime import UTC, datetime

import httpx
import pytest

from custody.core.clock import FixedClock
from router.curves import RAY
from router.rates.defillama import DefiLlama, FeedUnavailable, parse
from router.rates.units import Kind, Unit, simple_ray_down

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = b"""{"status":"success","data":[
 {"chain":"Ethereum","project":"aave-v3","symbol":"USDC","tvlUsd":1234567.89,"apyBase":4.25001,
  "apyReward":0.5,"apy":4.75001,"pool":"aa"},
 {"chain":"Ethereum","project":"lido","symbol":"STETH","tvlUsd":9,"apyBase":3,"apyReward":null,
  "pool":"bb"},
 {"chain":"Base","project":"new","symbol":"USDC","tvlUsd":1e3,"apyBase":null,"pool":"cc"},
 {"chain":"Base","project":"odd","symbol":"USDC","tvlUsd":1,"apyBase":-3.5,"pool":"dd"},
 {"chain":"Base","project":"odd","symbol":"USDC","tvlUsd":1,"apyBase":"4.25","pool":"ee"},
 {"chain":"Base","project":"odd","symbol":"USDC","tvlUsd":null,"apyBase":1,"pool":"ff"},
 {"chain":"Base","project":"odd","symbol":"USDC","tvlUsd":1,"apyBase":NaN,"pool":"gg"},
 "not a row"]}"""


def test_rows_are_read_exactly_or_left_out() -> None:
    found = parse(BODY, NOW)
    assert set(found) == {"aa", "bb", "cc"}
    first = found["aa"]
    assert (first.project, first.chain, first.symbol, first.tvl_usd) == (
        "aave-v3", "Ethereum", "USDC", 1_234_567,
    )  # fmt: skip
    assert first.base is not None
    assert first.base.source == "defillama/aa"
    assert first.base.as_of == NOW
    # The reward is not in it; 4.25001 % compounded is 4.16 % simple.
    assert first.base.rate_ray == simple_ray_down("4.25001", Unit.PERCENT, Kind.APY)
    assert 415 * RAY < first.base.rate_ray * 10_000 < 417 * RAY
    assert found["cc"].base is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"data":[]}', b'{"status":"success","data":{}}']
)
def test_what_has_another_shape_is_no_feed(body: bytes) -> None:
    with pytest.raises(FeedUnavailable):
        parse(body, NOW)


def feed(answer: bytes | None, status: int = 200) -> DefiLlama:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/pools"
        if answer is None:
            raise httpx.ReadTimeout("late")
        return httpx.Response(status, content=answer)

    made = DefiLlama("http://feed", FixedClock(NOW))
    made._client = httpx.AsyncClient(base_url="http://feed", transport=httpx.MockTransport(serve))
    return made


async def test_feed_is_asked_over_http() -> None:
    assert set(await feed(BODY).pools()) == {"aa", "bb", "cc"}
    with pytest.raises(FeedUnavailable, match="503"):
        await feed(b"{}", 503).pools()
    with pytest.raises(FeedUnavailable, match="ReadTimeout"):
        await feed(None).pools()

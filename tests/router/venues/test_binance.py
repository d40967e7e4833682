"""Binance's wire format: tiers, amounts, signatures; answers by httpx's own mock transport."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson
import pytest

from router.curves import RAY
from router.rates.units import BadRate
from router.venues.cefi.amounts import to_text, to_units_down, to_units_up
from router.venues.cefi.binance import Binance, curve_of
from router.venues.cefi.port import EarnRefused, EarnSuspended, EarnUnavailable, Order

pytestmark = pytest.mark.unit

SECRET = b"throw-away"
ORDER = Order("a", "USDC", "ETH", "0x" + "ab" * 20, 5_000_000, 6)


def client(answer: Any, status: int = 200) -> tuple[Binance, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if answer is None:
            raise httpx.ReadTimeout("late")
        return httpx.Response(status, content=orjson.dumps(answer))

    made = Binance("http://exchange", "key", SECRET, lambda: 1_700_000_000_000)
    made._client = httpx.AsyncClient(
        base_url="http://exchange", transport=httpx.MockTransport(serve)
    )
    return made, seen


def test_tier_bonus_is_marginal_and_added_to_the_base() -> None:
    row = {
        "latestAnnualPercentageRate": "0.02",
        "tierAnnualPercentageRate": {"0-500USDC": "0.08", "500-1000USDC": "0.01"},
    }
    curve = curve_of(row, "USDC", 6)
    assert curve.rest_ray == RAY // 50
    assert curve.tiers == ((500 * 10**6, RAY // 10), (1000 * 10**6, 3 * RAY // 100))


def test_unknown_tier_forms_are_refused() -> None:
    row: dict[str, Any] = {"latestAnnualPercentageRate": "0.02"}
    with pytest.raises(BadRate):
        curve_of({**row, "tierAnnualPercentageRate": {"0-5BTC": "0.1"}}, "USDC", 6)
    with pytest.raises(BadRate):
        curve_of({**row, "tierAnnualPercentageRate": {"0-5USDC": 0.1}}, "USDC", 6)


def test_amounts_are_exact_both_ways() -> None:
    assert to_text(1_234_500, 6) == "1.2345"
    assert to_text(10**6, 6) == "1"
    assert to_units_down("1.23456789", 6) == 1_234_567
    assert to_units_up("1.23456789", 6) == 1_234_568
    with pytest.raises(EarnUnavailable):
        to_units_down(1.5, 6)


async def test_request_is_signed_over_its_query() -> None:
    exchange, seen = client({"rows": [], "total": 0})
    assert await exchange.position("USDC", "USDC001", 6) == 0
    query = seen[0].url.query.decode()
    signed, signature = query.rsplit("&signature=", 1)
    assert hmac.new(SECRET, signed.encode(), hashlib.sha256).hexdigest() == signature
    assert dict(parse_qsl(signed))["timestamp"] == "1700000000000"
    assert seen[0].headers["X-MBX-APIKEY"] == "key"


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (None, 200, EarnUnavailable),
        ({}, 503, EarnUnavailable),
        ({}, 429, EarnUnavailable),
        ({"code": -4026}, 400, EarnRefused),
        ({"code": -1007}, 400, EarnUnavailable),
        ({"rows": 5}, 200, EarnUnavailable),
    ],
)
async def test_no_and_no_answer_are_told_apart(
    answer: Any, status: int, error: type[Exception]
) -> None:
    exchange, _ = client(answer, status)
    with pytest.raises(error):
        await exchange.position("USDC", "USDC001", 6)


def test_secret_is_in_no_repr() -> None:
    exchange, _ = client({})
    assert "throw-away" not in repr(exchange)


async def test_answer_with_a_missing_or_wrong_field_is_not_trusted() -> None:
    for body in ({"rows": [{"productId": "USDC001"}]}, {"rows": [{"productId": "USDC001",
                 "totalAmount": 5}]}):  # fmt: skip
        exchange, _ = client(body)
        with pytest.raises(EarnUnavailable):
            await exchange.position("USDC", "USDC001", 6)
    accounts: list[Any] = [{}, [], {"balances": [{"asset": "USDC"}]}]
    for account in accounts:
        exchange, _ = client(account)
        with pytest.raises(EarnUnavailable):
            await exchange.spot("USDC", 6)
    for row in ({"withdrawOrderId": "a"}, {"withdrawOrderId": "a", "amount": "1", "status": "?"}):
        exchange, _ = client([row])
        with pytest.raises(EarnUnavailable):
            await exchange.withdrawal(ORDER)


def network(name: str, fee: str, enabled: bool = True) -> dict[str, Any]:
    return {"network": name, "withdrawFee": fee, "withdrawEnable": enabled}


async def test_withdrawal_fee_is_the_networks() -> None:
    coins = [{"coin": "USDC", "networkList": [network("BSC", "9", False), network("ETH", "1.5")]}]
    exchange, _ = client(coins)
    assert await exchange.withdrawal_fee(ORDER) == 1_500_000
    with pytest.raises(EarnRefused):
        await exchange.withdrawal_fee(replace(ORDER, network="SOL"))
    with pytest.raises(EarnSuspended):
        await exchange.withdrawal_fee(replace(ORDER, network="BSC"))
    exchange, _ = client({}, 404)
    with pytest.raises(EarnRefused):
        await exchange.withdrawal_fee(ORDER)


async def test_withdrawal_sends_the_amount_less_its_fee_under_our_id() -> None:
    exchange, seen = client({"id": "1"})
    await exchange.withdraw(ORDER, 1_500_000)
    sent = dict(parse_qsl(seen[0].url.query.decode()))
    assert (sent["amount"], sent["withdrawOrderId"]) == ("3.5", "a")


async def test_quote_is_the_best_rate_and_an_estimate() -> None:
    row = {
        "productId": "USDC001", "latestAnnualPercentageRate": "0.02", "canRedeem": True,
        "canPurchase": True, "tierAnnualPercentageRate": {"0-500USDC": "0.08"},
    }  # fmt: skip
    exchange, _ = client({"rows": [row], "total": 1})
    quote = (await exchange.offer("USDC", "USDC001", 6)).quote
    assert quote is not None
    assert (quote.rate_ray, quote.is_estimate, quote.source) == (
        RAY // 10, True, "binance/USDC001",
    )  # fmt: skip

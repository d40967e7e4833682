"""The simulated exchange's books and wire format, without a socket."""

import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.devnet import exchange_wire as wire
from chains.devnet.exchange_book import (
    RATE_SCALE,
    YEAR_S,
    Book,
    Coin,
    Deposit,
    Product,
    Refused,
    WithdrawalStatus,
    yearly_income,
)

pytestmark = pytest.mark.unit

USDC = Coin("USDC", 6, "0x" + "a1" * 20)
UNIT = 10**6
PRODUCT = Product(
    "USDC001", "USDC", 3_000_000, ((100 * UNIT, 5_000_000), (300 * UNIT, 2_000_000)), 1
)
TO = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SECRET = "not a secret: tests only"


def book(free: int = 1_000 * UNIT) -> Book:
    made = Book({"USDC": USDC}, {"USDC001": PRODUCT}, {"USDC": 2})
    made.credit(Deposit("1", "USDC", free, "0x", 1, 0))
    return made


def test_each_part_earns_the_rate_of_its_own_tier() -> None:
    income = yearly_income(PRODUCT, 400 * UNIT)
    assert income == (100 * 8 + 200 * 5 + 100 * 3) * UNIT * RATE_SCALE // 100


def test_a_year_pays_the_rate_exactly_and_not_more() -> None:
    made = book()
    made.subscribe("USDC001", 100 * UNIT)
    made.advance(YEAR_S)
    assert made.positions["USDC001"].total == 108 * UNIT


@given(st.lists(st.integers(0, 10**6), max_size=20), st.integers(1, 10**15))
def test_when_one_looks_changes_nothing(steps: list[int], amount: int) -> None:
    """Rewards depend on time alone, to the base unit."""
    often, once = book(amount), book(amount)
    often.subscribe("USDC001", amount)
    once.subscribe("USDC001", amount)
    now = 0
    for step in steps:
        now += step
        often.advance(now)
    once.advance(now)
    assert often.positions == once.positions
    assert often.positions["USDC001"].rewards == yearly_income(PRODUCT, amount) * now // (
        RATE_SCALE * YEAR_S
    )


def test_time_does_not_go_back() -> None:
    made = book()
    made.subscribe("USDC001", 100 * UNIT)
    made.advance(1000)
    before = made.positions["USDC001"].total
    made.advance(10)
    assert made.positions["USDC001"].total == before


def test_redeeming_takes_rewards_first_and_never_more_than_there_is() -> None:
    made = book()
    made.subscribe("USDC001", 100 * UNIT)
    made.advance(YEAR_S)
    made.redeem("USDC001", 8 * UNIT)
    assert made.positions["USDC001"].principal == 100 * UNIT
    with pytest.raises(Refused, match="greater"):
        made.redeem("USDC001", 100 * UNIT + 1)
    assert made.redeem("USDC001", None) == 100 * UNIT
    assert made.free["USDC"] == 1_008 * UNIT
    with pytest.raises(Refused):
        made.redeem("USDC001", None)


def test_an_order_id_is_one_withdrawal() -> None:
    made = book()
    first = made.apply("leg_1", "USDC", TO, 10 * UNIT)
    assert made.apply("leg_1", "USDC", TO, 10 * UNIT) is first
    assert made.free["USDC"] == 990 * UNIT - 2
    with pytest.raises(Refused, match="other content"):
        made.apply("leg_1", "USDC", TO, 11 * UNIT)
    made.give_back(first)
    assert first.status is WithdrawalStatus.FAILURE
    assert made.free["USDC"] == 1_000 * UNIT


@pytest.mark.parametrize("amount", [0, 1_001 * UNIT, 1_000 * UNIT])
def test_more_than_the_balance_is_refused(amount: int) -> None:
    """The last case: the fee does not fit any more."""
    made = book()
    with pytest.raises(Refused):
        made.apply("leg_1", "USDC", TO, amount)
    assert made.free["USDC"] == 1_000 * UNIT


@given(st.integers(0, 2**200), st.integers(0, 18))
def test_decimals_are_exact(amount: int, decimals: int) -> None:
    assert wire.from_decimal(wire.to_decimal(amount, decimals), decimals) == amount


@pytest.mark.parametrize("text", ["", ".5", "-1", "1e3", "1.0000001", "٣", "1.2.3", "0x1", "+1"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        wire.from_decimal(text, 6)


def test_tiers_on_the_wire() -> None:
    row = wire.product_row(PRODUCT, USDC)
    assert row["latestAnnualPercentageRate"] == "0.03000000"
    tiers = {"0-100USDC": "0.05000000", "100-300USDC": "0.02000000"}
    assert row["tierAnnualPercentageRate"] == tiers


def signed(parameters: dict[str, str]) -> str:
    query = urlencode(parameters)
    digest = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


NOW = 1_700_000_000_000


def test_a_signature_in_query_or_body() -> None:
    text = signed({"coin": "USDC", "timestamp": str(NOW)})
    expected = {"coin": "USDC", "timestamp": str(NOW)}
    for query, body in ((text, ""), ("", text)):
        parameters = wire.check_signed(SECRET, query, body, NOW)
        parameters.pop("signature")
        assert parameters == expected


@pytest.mark.parametrize("offset_ms", [-5_001, 1_000, 3_600_000])
def test_a_stale_or_future_request_is_refused(offset_ms: int) -> None:
    with pytest.raises(Refused, match="recvWindow"):
        wire.check_signed(SECRET, signed({"timestamp": str(NOW + offset_ms)}), "", NOW)


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    text = signed({"coin": "USDC", "amount": "1.5", "timestamp": str(NOW)})
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("0123456789abcdef=&xZ").filter(lambda c: c != text[at]))
    with pytest.raises(Refused):
        wire.check_signed(SECRET, text[:at] + other + text[at + 1 :], "", NOW)


@pytest.mark.parametrize("query", ["", "timestamp=1", "signature=", "timestamp=1&signature="])
def test_an_unsigned_request_is_refused(query: str) -> None:
    with pytest.raises(Refused, match="Signature"):
        wire.check_signed(SECRET, query, "", NOW)

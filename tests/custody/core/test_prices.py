"""Two sources agree within a bound, or there is no price."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custody.core.errors import InvalidInput
from custody.core.money import AssetId
from custody.core.prices import (
    Price,
    PriceBound,
    PriceFault,
    ReferencePrice,
    agree,
    is_worth_at_most,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUND = PriceBound(age_max_s=60, deviation_max_bps=100)
ETH = AssetId("eip155:1/slip44:60")
A = Price(ETH, "USD", 3_000, 18, "feed.a", NOW, 10)
B = Price(ETH, "USD", 30_300, 19, "feed.b", NOW - timedelta(seconds=60), None)
"""A dollar price of 3000 an ether, and 1 % more at another scale, as old as it may be."""

FAULTS: list[tuple[Price | None, Price | None, PriceFault]] = [
    (None, B, PriceFault.MISSING),
    (A, None, PriceFault.MISSING),
    (A, replace(B, currency="EUR"), PriceFault.OTHER),
    (A, replace(B, asset_id=AssetId("eip155:2/slip44:60")), PriceFault.OTHER),
    (A, replace(B, source="feed.a"), PriceFault.SAME_SOURCE),
    (A, replace(B, as_of=NOW + timedelta(microseconds=1)), PriceFault.FUTURE),
    (A, replace(B, as_of=B.as_of - timedelta(microseconds=1)), PriceFault.STALE),
    (A, replace(B, value=30_301), PriceFault.DISAGREE),
    (replace(A, value=1), B, PriceFault.DISAGREE),
]


def test_two_that_agree_give_the_higher() -> None:
    for found in (agree(A, B, now=NOW, bound=BOUND), agree(B, A, now=NOW, bound=BOUND)):
        assert found == ReferencePrice(higher=B, lower=A)


@pytest.mark.parametrize(("first", "second", "fault"), FAULTS)
def test_faults(first: Price | None, second: Price | None, fault: PriceFault) -> None:
    """Property 56: stale or differing prices decide nothing."""
    assert agree(first, second, now=NOW, bound=BOUND) is fault
    assert agree(second, first, now=NOW, bound=BOUND) is fault


def test_worth_is_exact_to_the_wei() -> None:
    """3030 dollars an ether: a tenth of a cent is 330_033_003_300.33 wei."""
    price = ReferencePrice(B, A)
    assert is_worth_at_most(330_033_003_300, price, 1_000)
    assert not is_worth_at_most(330_033_003_301, price, 1_000)
    assert is_worth_at_most(0, price, 0)
    assert not is_worth_at_most(1, price, 0)


def test_the_written_form_reads_back() -> None:
    price = ReferencePrice(B, A)
    assert ReferencePrice.from_json(price.to_json()) == price
    with pytest.raises(ValueError, match="higher"):
        ReferencePrice.from_json({"higher": A.to_json(), "lower": B.to_json()})


@pytest.mark.parametrize(
    "change",
    [
        {"value": 3000},
        {"value": "03000"},
        {"value": "0"},
        {"scale": "18"},
        {"scale": 78},
        {"block": 10},
        {"as_of": "2026-01-01"},
        {"currency": "usd"},
        {"source": ""},
        {"extra": 1},
    ],
)
def test_any_other_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidInput)):
        Price.from_json({**A.to_json(), **change})

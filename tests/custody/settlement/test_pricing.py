"""Fees of replacements: a row a case."""

from dataclasses import replace

import pytest

from custody.core.ports import Fees
from custody.settlement.pricing import SendingRules, is_underpriced, raised
from tests.custody.settlement.orders import native_payout

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("last", "quote", "bound", "expected"),
    [
        (Fees(1000, 80), Fees(1, 1), 5000, Fees(1125, 90)),
        (Fees(1001, 81), Fees(1, 1), 5000, Fees(1127, 92)),  # rounded up
        (Fees(1000, 80), Fees(4000, 200), 5000, Fees(4000, 200)),  # what today asks for
        (Fees(1000, 80), Fees(9000, 200), 5000, Fees(5000, 200)),
        (Fees(1000, 80), Fees(9000, 8000), 5000, Fees(5000, 5000)),  # the tip is within the fee
        (Fees(1000, 80), Fees(9000, 200), 1125, Fees(1125, 200)),
        (Fees(1000, 80), Fees(9000, 200), 1124, None),
        (Fees(1000, 1000), Fees(1, 1), 2000, Fees(1125, 1125)),
        (Fees(0, 0), Fees(0, 0), 10, Fees(1, 1)),
    ],
)
def test_raised(last: Fees, quote: Fees, bound: int, expected: Fees | None) -> None:
    assert raised(last, quote, bound) == expected


@pytest.mark.parametrize(
    ("paid", "base_fee", "expected"),
    [
        (Fees(100, 10), 90, False),
        (Fees(100, 10), 91, True),  # a tip of 9 is left
        (Fees(100, 10), 101, True),  # it cannot be mined at all
        (Fees(100, 9), 1, True),
        (Fees(100, 100), 1, False),
    ],
)
def test_underpriced_against_a_tip_of_ten(paid: Fees, base_fee: int, expected: bool) -> None:
    assert is_underpriced(paid, Fees(0, 10), base_fee) is expected


def test_the_bound_is_the_intents_or_its_assets_whichever_is_lower() -> None:
    intent = replace(native_payout(), gas_limit=10, fee_max_wei=1009)
    assert SendingRules().fee_bound(intent, 10) == 100
    assert SendingRules(fee_max_wei={intent.asset_id: 500}).fee_bound(intent, 10) == 50
    assert SendingRules(fee_max_wei={intent.asset_id: 5000}).fee_bound(intent, 10) == 100

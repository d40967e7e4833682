"""Fees add up to the gross for any plan and amount, and are rounded in favour of the house."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.billing.fees import BPS, FeePlan, charges, service_fee_up, table_from_json
from custody.core.errors import InvalidInput
from custody.core.money import AssetId

pytestmark = pytest.mark.unit

AMOUNTS = st.integers(1, 2**128)
BOUNDS = st.tuples(st.integers(0, 2**96), st.none() | st.integers(0, 2**96))
PLANS = st.builds(
    lambda network, bps, bounds: FeePlan(
        network, bps, bounds[0], None if bounds[1] is None else bounds[0] + bounds[1]
    ),
    st.integers(0, 2**96),
    st.integers(0, BPS - 1),
    BOUNDS,
)


@given(PLANS, AMOUNTS)
def test_they_add_up_for_any_plan_and_amount(plan: FeePlan, gross: int) -> None:
    """Property 7."""
    if plan.network + service_fee_up(plan, gross) >= gross:
        with pytest.raises(InvalidInput):
            charges(plan, gross)
        return
    c = charges(plan, gross)
    assert c.gross == gross == c.net + c.network_fee + c.service_fee
    assert c.net > 0
    assert c.network_fee == plan.network


@given(PLANS, AMOUNTS)
def test_the_service_fee_is_rounded_up_within_its_bounds(plan: FeePlan, amount: int) -> None:
    fee = service_fee_up(plan, amount)
    assert fee >= plan.service_min
    assert plan.service_max is None or fee <= plan.service_max
    if fee not in (plan.service_min, plan.service_max):
        assert 0 <= fee * BPS - amount * plan.service_bps < BPS


CASES = [
    # (plan, gross, service fee)
    (FeePlan(0, 10), 1, 1),
    (FeePlan(0, 10), 1_000, 1),
    (FeePlan(0, 10), 1_001, 2),
    (FeePlan(0, 10, 5), 1_001, 5),
    (FeePlan(0, 10, 0, 3), 10_000, 3),
    (FeePlan(0, 10, 3, 3), 7, 3),
    (FeePlan(0, 0), 10**30, 0),
]


@pytest.mark.parametrize(("plan", "gross", "fee"), CASES)
def test_service_fees(plan: FeePlan, gross: int, fee: int) -> None:
    if gross > fee:
        assert charges(plan, gross).service_fee == fee
    assert service_fee_up(plan, gross) == fee


def test_the_installations_table_may_bound_the_service_fee() -> None:
    row = {"network": "5", "service_bps": 10, "service_min": "2", "service_max": "9"}
    assert table_from_json({"a": row}).plan(AssetId("a")) == FeePlan(5, 10, 2, 9)
    with pytest.raises(InvalidInput) as caught:
        table_from_json({"a": {**row, "service_max": "1"}})
    assert caught.value.field == "fees.a.service_max"

"""Property 7: whatever of a batch is skipped, what is paid, charged and returned is the gross."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.billing.fees import FeePlan
from custody.withdrawals.batches.charges import charges_up, outcome

pytestmark = pytest.mark.unit

AMOUNTS = st.lists(st.tuples(st.integers(1, 2**96 - 1), st.booleans()), min_size=1, max_size=200)
PLANS = st.builds(FeePlan, st.integers(0, 10**30), st.integers(0, 9_999))


@given(AMOUNTS, PLANS)
def test_it_adds_up_for_any_pattern_of_skips(made: list[tuple[int, bool]], plan: FeePlan) -> None:
    amounts = [amount for amount, _ in made]
    skipped = {i for i, (_, skip) in enumerate(made) if skip}
    charged = charges_up(plan, amounts)
    assert charged.gross == sum(amounts) + plan.network + sum(charged.service_fees)
    for amount, fee in zip(amounts, charged.service_fees, strict=True):
        # Rounded up, in favour of the house, by less than one base unit.
        assert 0 <= fee * 10_000 - amount * plan.service_bps < 10_000
    end = outcome(charged, amounts, skipped)
    assert end.paid + end.fees + end.returned == charged.gross
    assert min(end.paid, end.fees, end.returned) >= 0
    assert end.returned == sum(amounts[i] + charged.service_fees[i] for i in skipped)

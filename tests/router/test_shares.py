"""Shares for money and money for shares: rounding always favours the pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.shares import Totals

pytestmark = pytest.mark.unit

AMOUNTS = st.integers(1, 10**24)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_rounding_always_favours_the_pool(assets: int, shares: int, amount: int) -> None:
    """Property 7: what comes back for new shares is never more than was paid."""
    totals = Totals(assets, shares)
    bought = totals.shares_down(amount)
    after = Totals(assets + amount, shares + bought)
    assert after.value_down(bought) <= amount
    assert totals.value_down(totals.shares_up(amount)) >= amount

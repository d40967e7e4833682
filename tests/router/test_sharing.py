"""The spread is taken once, only above the mark, and never more than its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.curves import RAY
from router.shares import SHARE_SCALE, Totals
from router.sharing import split

pytestmark = pytest.mark.unit

FIRST = RAY // SHARE_SCALE
AMOUNTS = st.integers(1, 10**24)


@given(AMOUNTS, AMOUNTS, st.integers(0, 5000))
def test_spread_is_its_share_of_what_lies_above_the_mark(
    amount: int, gain: int, spread_bps: int
) -> None:
    totals = Totals(amount + gain, amount * SHARE_SCALE)
    done = split(totals, FIRST, spread_bps)
    assert done.spread == gain * spread_bps // 10_000
    assert done.totals.assets + done.spread == totals.assets
    assert split(done.totals, done.high_water_ray, spread_bps).spread == 0


@given(AMOUNTS, st.integers(0, 10**24))
def test_below_the_mark_nothing_is_taken(amount: int, loss: int) -> None:
    totals = Totals(max(amount - loss, 0), amount * SHARE_SCALE)
    assert split(totals, FIRST, 1000) == split(totals, FIRST, 0)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_rounding_always_favours_the_pool(assets: int, shares: int, amount: int) -> None:
    """Property 7: what comes back for new shares is never more than was paid."""
    totals = Totals(assets, shares)
    bought = totals.shares_down(amount)
    after = Totals(assets + amount, shares + bought)
    assert after.value_down(bought) <= amount
    assert totals.value_down(totals.shares_up(amount)) >= amount

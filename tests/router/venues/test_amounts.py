"""Exchanges' decimal texts: exact both ways, rounded as the name says."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.venues.cefi.amounts import to_text, to_units_down, to_units_up
from router.venues.cefi.port import EarnUnavailable

pytestmark = pytest.mark.unit


@given(st.integers(0, 10**40), st.integers(0, 18))
def test_a_text_of_base_units_comes_back(amount: int, decimals: int) -> None:
    text = to_text(amount, decimals)
    assert to_units_down(text, decimals) == to_units_up(text, decimals) == amount


@given(st.integers(0, 10**12), st.text("0123456789", min_size=1, max_size=25), st.integers(0, 18))
def test_finer_than_a_base_unit_is_rounded_by_name(whole: int, places: str, decimals: int) -> None:
    text = f"{whole}.{places}"
    exact = Fraction(text) * 10**decimals
    down, up = to_units_down(text, decimals), to_units_up(text, decimals)
    assert down <= exact <= up
    assert up - down == (exact.denominator != 1)


@pytest.mark.parametrize("text", [1.5, 1, None, "", "-1", "+1", "1e3", "1,5", ".5", "1.", "٣"])
def test_what_is_no_decimal_text_is_not_trusted(text: object) -> None:
    with pytest.raises(EarnUnavailable):
        to_units_down(text, 6)

"""Curves: exact values, the ranges' promises, and JSON."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.curve_json import from_json
from router.curves import (
    RAY,
    Curve,
    Shape,
    income_down,
    income_up,
    marginal_down,
    pays_at_least,
    rate_ray_down,
)
from router.lending_curves import Kinked, Queued, Slot
from router.stated_curves import Sampled, Tiered, WholeTiered
from router.tiers import WAD
from tests.router.markets import curves, kinked, queued

pytestmark = pytest.mark.unit


def _value(curve: Curve, x: int) -> Fraction:
    return Fraction(*curve.income(x))


@given(curves(40), st.integers(0, 90))
def test_ranges_cover_and_bend_as_they_say(curve: Curve, hi: int) -> None:
    _check_ranges(curve, hi)


@settings(max_examples=300)
@given(queued(60), st.integers(20, 90))
def test_a_queue_of_markets_bends_as_it_says(curve: Queued, hi: int) -> None:
    _check_ranges(curve, hi)


def _check_ranges(curve: Curve, hi: int) -> None:
    parts = curve.ranges(hi)
    covered = [x for part in parts for x in range(part.lo, part.hi + 1)]
    assert covered == list(range(hi + 1))
    for part in parts:
        for x in range(part.lo + 1, part.hi):
            bend = _value(curve, x + 1) - 2 * _value(curve, x) + _value(curve, x - 1)
            assert bend <= 0 if part.shape is Shape.CONCAVE else bend >= 0


@given(curves(10**12), st.integers(1, 10**13), st.integers(0, RAY))
def test_rounding_and_marginals_agree_with_exact_values(curve: Curve, x: int, price: int) -> None:
    exact = _value(curve, x)
    assert income_down(curve, x) <= exact <= income_up(curve, x)
    assert income_up(curve, x) - income_down(curve, x) <= 1
    assert pays_at_least(curve, x, price) == (exact - _value(curve, x - 1) >= price)
    assert marginal_down(curve, x) == (exact - _value(curve, x - 1)).__floor__()


@given(curves(10**12), st.integers(0, 10**12))
def test_json_round_trip_keeps_the_curve(curve: Curve, x: int) -> None:
    assert from_json(curve.to_json()).income(x) == curve.income(x)


def test_kinked_matches_the_textbook_rate_on_both_sides_of_the_kink() -> None:
    """Supply 1000, debt 850, optimal 80 %: above the kink without us, below it with 1000 more."""
    percent = RAY // 100
    pool = Kinked(1000, 850, 0, 4 * percent, 60 * percent, 80 * percent, 1000)
    above = (4 + Fraction(60) * (Fraction(850, 1001) * 100 - 80) / 20) * Fraction(850, 1001)
    assert rate_ray_down(pool, 1) == (above * percent * 9 / 10).__floor__()
    usage = Fraction(850, 2000)
    below = 4 * usage / Fraction(80, 100) * usage
    assert rate_ray_down(pool, 1000) == (below * percent * 9 / 10).__floor__()


def test_tiers_are_marginal_not_whole_balance() -> None:
    percent = RAY // 100
    offer = Tiered(((500, 10 * percent),), 2 * percent)
    assert offer.income(1500) == (500 * 10 * percent + 1000 * 2 * percent, 1)


def test_sampled_is_straight_between_its_points_and_flat_after_them() -> None:
    curve = Sampled(((0, 0), (10, 100), (20, 150), (40, 450)))
    found = [Fraction(*curve.income(x)) for x in (0, 5, 10, 15, 20, 30, 40, 1000)]
    assert found == [0, 50, 100, 125, 150, 300, 450, 450]
    shapes = [(r.lo, r.hi, r.shape) for r in curve.ranges(1000)]
    assert shapes == [(0, 20, Shape.CONCAVE), (21, 1000, Shape.CONCAVE)]


@pytest.mark.parametrize(
    ("points", "rule"),
    [((), "first"), (((1, 0),), "first"), (((0, 0), (5, 1), (5, 2)), "ascend")],
)
def test_samples_that_are_no_curve_are_refused(
    points: tuple[tuple[int, int], ...], rule: str
) -> None:
    with pytest.raises(ValueError, match=f"points: .*{rule}"):
        Sampled(points)


@given(kinked(10**12), st.integers(1, 10**12))
def test_a_vault_that_has_one_market_to_itself_and_no_fee_earns_what_the_market_pays(
    market: Kinked, x: int
) -> None:
    """Then the market's other suppliers are the vault's other holders."""
    alone = replace(market, supply=0)
    vault = Queued(market.supply, WAD, (Slot(0, market.supply, 0, alone),))
    assert Fraction(*vault.income(x)) == Fraction(*market.income(x))


def test_whole_balance_tiers_pay_one_rate_on_everything_and_jump_at_a_bound() -> None:
    """8 % to 500, 5 % to 1000, 3 % above: the 501st unit costs 15 a year, it does not earn 0.05."""
    percent = RAY // 100
    tiers = ((500, 8 * percent), (1000, 5 * percent))
    whole, marginal = WholeTiered(tiers, 3 * percent), Tiered(tiers, 3 * percent)
    assert [income_down(whole, x) // percent for x in (500, 501, 1000, 1001)] == [
        4000, 2505, 5000, 3003,
    ]  # fmt: skip
    assert income_down(marginal, 501) // percent == 4005
    assert rate_ray_down(whole, 501) == 5 * percent
    assert [(r.lo, r.hi) for r in whole.ranges(2000)] == [(0, 500), (501, 1000), (1001, 2000)]
    assert marginal_down(whole, 501) == -1495 * percent
    rising = WholeTiered(((500, 3 * percent),), 8 * percent)
    assert marginal_down(rising, 501) == (501 * 8 - 1500) * percent


@given(kinked(10**12), st.integers(1, 10**12))
def test_where_the_optimum_is_all_of_it_there_is_one_slope_only(market: Kinked, x: int) -> None:
    """Even where more is lent out than there is: an own deposit that only just covers the debt."""
    curve = replace(market, optimal_ray=RAY)
    used = Fraction(curve.debt, curve.supply + x)
    rate = (curve.base_ray + curve.slope1_ray * used) * (10_000 - curve.reserve_factor_bps) / 10_000
    assert Fraction(*curve.income(x)) == x * used * rate
    assert {r.hi for r in curve.ranges(x)} >= {x}


@pytest.mark.parametrize(
    ("field", "value"), [("optimal_ray", 0), ("optimal_ray", RAY + 1), ("supply", -1), ("debt", -1)]
)
def test_a_market_that_cannot_be_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Kinked(10, 5, 0, 1, 1, RAY // 2, 0), **{field: value})

"""Fees are exact, never taken on losses, and no dearer for how often a pool accrues."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import fees
from router.curves import BPS, RAY, YEAR_S
from router.fees import FeeTerms, Marks, Period, charge, first_marks, line_ray_up
from router.shares import SHARE_SCALE, Totals

pytestmark = pytest.mark.unit

AMOUNTS = st.integers(1, 10**24)
SECONDS = st.integers(0, 10 * YEAR_S)
TERMS = st.builds(
    FeeTerms,
    st.integers(0, 5_000),
    st.integers(0, RAY),
    st.integers(0, 1_000),
    st.none() | st.integers(0, RAY),
)
DAY = 86_400
PERCENT = RAY // 100


def at_first_price(amount: int, gain: int = 0) -> Totals:
    """A pool whose holders joined with `amount` at the first price; `gain` may be negative."""
    return Totals(max(amount + gain, 0), amount * SHARE_SCALE)


@given(AMOUNTS, st.integers(-(10**24), 10**24), TERMS, SECONDS)
def test_parts_sum_to_what_was_there_and_none_is_negative(
    amount: int, gain: int, terms: FeeTerms, seconds: int
) -> None:
    totals = at_first_price(amount, gain)
    done = charge(terms, first_marks(0), totals, Period(0, seconds, amount))
    assert done.totals.assets + done.management + done.spread + done.excess == totals.assets
    assert min(done.management, done.spread, done.excess, done.totals.assets) >= 0
    assert done.totals.shares == totals.shares
    record = fees.to_json(terms, first_marks(0), Period(0, seconds, amount), done)
    assert fees.recompute(record, done.totals)
    assert not fees.recompute(record, Totals(done.totals.assets + 1, totals.shares))
    assert not fees.recompute({**record, "spread": str(done.spread + 1)}, done.totals)


@given(AMOUNTS, AMOUNTS, st.integers(0, 5000))
def test_spread_is_its_share_of_what_lies_above_the_mark(
    amount: int, gain: int, spread_bps: int
) -> None:
    totals = at_first_price(amount, gain)
    period = Period(0, 0, amount)
    done = charge(FeeTerms(spread_bps), first_marks(0), totals, period)
    assert done.spread == gain * spread_bps // BPS
    assert charge(FeeTerms(spread_bps), done.marks, done.totals, period).spread == 0


@given(AMOUNTS, st.integers(0, 10**24), st.integers(0, 10**24), TERMS, SECONDS)
def test_no_spread_on_a_loss_nor_on_what_makes_it_good(
    amount: int, loss: int, back: int, terms: FeeTerms, seconds: int
) -> None:
    terms = FeeTerms(terms.spread_bps, terms.hurdle_ray)
    low = charge(terms, first_marks(0), at_first_price(amount, -loss), Period(0, seconds, amount))
    assert (low.spread, low.marks) == (0, first_marks(0))
    again = at_first_price(amount, -min(loss, max(loss - back, 0)))
    done = charge(terms, low.marks, again, Period(seconds, seconds + 1, amount))
    assert done.spread == 0


@given(AMOUNTS, st.integers(0, 10**24), st.integers(1, 5_000), st.integers(0, RAY), SECONDS)
def test_hurdle_is_in_proportion_to_time_and_only_what_lies_above_it_pays(
    amount: int, gain: int, spread_bps: int, hurdle: int, seconds: int
) -> None:
    terms = FeeTerms(spread_bps, hurdle)
    totals = at_first_price(amount, gain)
    done = charge(terms, first_marks(0), totals, Period(0, seconds, amount))
    price = fees.FIRST_PRICE_RAY
    exact = price * hurdle * seconds  # over RAY * YEAR_S: what the line has risen by
    line = line_ray_up(price, hurdle, seconds) - price
    assert 0 <= line * RAY * YEAR_S - exact < RAY * YEAR_S
    above = max(totals.assets * RAY - (price + line) * totals.shares, 0)
    assert done.spread == above * spread_bps // (BPS * RAY)
    assert done.spread <= charge(FeeTerms(spread_bps), first_marks(0), totals,
                                 Period(0, seconds, amount)).spread  # fmt: skip


@given(AMOUNTS, st.integers(1, 1_000), st.lists(st.integers(0, YEAR_S), min_size=1, max_size=8))
def test_management_fee_of_steady_assets_does_not_depend_on_how_time_is_cut(
    amount: int, bps: int, cuts: list[int]
) -> None:
    """The fraction is carried on, so not even rounding differs."""
    terms, whole = FeeTerms(0, 0, bps), sum(cuts)
    once = charge(terms, first_marks(0), at_first_price(amount), Period(0, whole, amount))
    assert once.management == min(amount * bps * whole // (BPS * YEAR_S), amount)
    marks, at, total = first_marks(0), 0, 0
    for seconds in cuts:
        done = charge(terms, marks, at_first_price(amount), Period(at, at + seconds, amount))
        marks, at, total = done.marks, at + seconds, total + done.management
    assert min(total, amount) == once.management


@given(
    AMOUNTS,
    st.integers(0, 10**20),
    st.lists(st.integers(1, YEAR_S), min_size=2, max_size=8),
    st.integers(1, 5_000),
    st.integers(0, RAY),
)
def test_even_yield_pays_no_more_spread_for_being_cut_into_pieces(
    amount: int, per_s: int, cuts: list[int], spread_bps: int, hurdle: int
) -> None:
    terms, whole = FeeTerms(spread_bps, hurdle), sum(cuts)
    once = charge(
        terms, first_marks(0), at_first_price(amount, per_s * whole), Period(0, whole, amount)
    )
    total = _run(terms, amount, [(seconds, per_s * seconds) for seconds in cuts])
    assert total <= once.spread


@given(
    AMOUNTS,
    st.lists(st.tuples(st.integers(0, YEAR_S), st.integers(-(10**24), 10**24)), max_size=12),
    st.integers(0, 5_000),
    st.integers(0, RAY),
)
def test_all_spreads_never_exceed_that_of_the_highest_price(
    amount: int, periods: list[tuple[int, int]], spread_bps: int, hurdle: int
) -> None:
    """However uneven the yield is and however time is cut."""
    level, highest = amount, amount
    for _, gain in periods:
        level += gain
        highest = max(highest, level)
    total = _run(FeeTerms(spread_bps, hurdle), amount, periods)
    assert total <= (highest - amount) * spread_bps // BPS


def _run(terms: FeeTerms, amount: int, periods: list[tuple[int, int]]) -> int:
    """All spreads over periods of (seconds, gain), with a steady number of shares."""
    marks, totals, at, spreads = first_marks(0), at_first_price(amount), 0, 0
    level = amount
    for seconds, gain in periods:
        level += gain
        after = Totals(max(level - spreads, 0), totals.shares)
        done = charge(terms, marks, after, Period(at, at + seconds, amount))
        marks, at, spreads = done.marks, at + seconds, spreads + done.spread
    return spreads


def test_yield_before_its_time_pays_more_when_it_is_seen_and_that_is_stated() -> None:
    """Why "a cut never costs more" is no rule: the first half's price was really there."""
    terms, amount, half = FeeTerms(1_000, 10 * PERCENT), 10**12, YEAR_S // 2
    whole = _run(terms, amount, [(YEAR_S, 10**11)])
    parts = _run(terms, amount, [(half, 10**11), (half, 0)])
    assert whole == 0
    assert parts == 5 * 10**10 // 10


def test_yield_in_lumps_meets_the_same_hurdle_as_yield_that_drips() -> None:
    """A staking reward once a day is no excess over thirty seconds of hurdle."""
    terms, amount = FeeTerms(1_000, 4 * PERCENT), 365 * 10**9
    daily = 4 * 10**7
    lumps = [(30, 0)] * 2_879 + [(30, daily)]
    assert _run(terms, amount, lumps) == 0
    double = _run(terms, amount, [(30, 0)] * 2_879 + [(30, 2 * daily)])
    assert double == daily // 10 - 1, "the line is rounded up"


@given(AMOUNTS, st.integers(0, 10**24), st.integers(0, RAY), SECONDS)
def test_holders_get_the_capped_rate_and_the_rest_is_the_operators(
    amount: int, gain: int, rate: int, seconds: int
) -> None:
    terms = FeeTerms(0, 0, 0, rate)
    done = charge(terms, first_marks(0), at_first_price(amount, gain), Period(0, seconds, amount))
    line = line_ray_up(fees.FIRST_PRICE_RAY, rate, seconds)
    allowed = -(-line * amount * SHARE_SCALE // RAY)
    assert done.totals.assets == min(amount + gain, allowed)
    assert allowed * RAY * YEAR_S >= amount * (RAY * YEAR_S + rate * seconds)


def test_what_was_earned_below_the_cap_may_be_caught_up_with() -> None:
    terms, amount = FeeTerms(0, 0, 0, 10 * PERCENT), 10**12
    first = charge(terms, first_marks(0), at_first_price(amount), Period(0, YEAR_S, amount))
    assert (first.excess, first.marks) == (0, first_marks(0))
    second = charge(terms, first.marks, at_first_price(amount, 2 * 10**11),
                    Period(YEAR_S, 2 * YEAR_S, amount))  # fmt: skip
    assert second.excess == 0
    third = charge(terms, second.marks, at_first_price(amount, 2 * 10**11 + 1),
                   Period(2 * YEAR_S, 2 * YEAR_S, amount))  # fmt: skip
    assert third.excess == 1


def test_gains_too_small_for_a_unit_of_spread_are_not_forgotten() -> None:
    terms, marks, taken = FeeTerms(1_000), first_marks(0), 0
    levels = list(range(0, 101, 5))
    for _, gain in pairwise(levels):
        done = charge(terms, marks, at_first_price(10**6, gain - taken), Period(0, 0, 10**6))
        marks, taken = done.marks, taken + done.spread
    assert taken == 10


def test_a_pool_without_shares_pays_nothing() -> None:
    terms = FeeTerms(1_000, 0, 1_000, 0)
    done = charge(terms, first_marks(0), Totals(5, 0), Period(0, YEAR_S, 5))
    assert done.total == 0
    assert done.marks == first_marks(0)


def test_marks_of_who_begins_in_an_empty_pool_are_at_his_price() -> None:
    """Dust of who left before is no yield of his that pays a spread."""
    totals = Totals(10**6 + 3, 10**6 * SHARE_SCALE)
    marks = first_marks(7, totals)
    assert charge(FeeTerms(5_000), marks, totals, Period(7, 7, 10**6)).spread == 0
    assert isinstance(marks, Marks)


@given(AMOUNTS, AMOUNTS, st.integers(1, 1_000), SECONDS)
def test_management_is_charged_on_what_was_there_all_the_time(
    before: int, after: int, bps: int, seconds: int
) -> None:
    """Who has just joined pays nothing for the time before him, nor does a loss pay."""
    totals = Totals(after, before * SHARE_SCALE)
    done = charge(FeeTerms(0, 0, bps), first_marks(0), totals, Period(0, seconds, before))
    assert done.management == min(min(before, after) * bps * seconds // (BPS * YEAR_S), after)

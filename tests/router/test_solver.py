"""The solver: feasible always, optimal against brute force, certified, deterministic, monotone."""

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.curves import RAY, Curve
from router.lending_curves import Kinked, Queued, Slot
from router.pieces import Cap, Item, Option, whole
from router.solver import Solution, solve
from router.stated_curves import FixedPot, Flat, Sampled, Tiered, WholeTiered
from router.tiers import WAD
from tests.router.markets import curves

pytestmark = pytest.mark.unit

Instance = tuple[list[Item], list[Cap]]
PERCENT = RAY // 100


@st.composite
def options(draw: st.DrawFn, size: int) -> tuple[Option, ...]:
    """Whole, or with a gap and costs on the far side, as a ticket and gas make them."""
    lo = draw(st.integers(0, size // 4))
    hi = draw(st.integers(lo, size))
    if draw(st.booleans()) or hi - lo < 3:
        return whole(lo, hi)
    at = draw(st.integers(lo + 1, hi - 1))
    cost = draw(st.integers(0, size * RAY // 20))
    far = Option(draw(st.integers(at + 1, hi)), hi, cost)
    return (Option(lo, at), far)


@st.composite
def instances(draw: st.DrawFn, size: int, items_max: int) -> Instance:
    items = [
        Item(draw(curves(size * 2)), draw(options(size)))
        for _ in range(draw(st.integers(1, items_max)))
    ]
    every = tuple(range(len(items)))
    sets = [every] + [
        tuple(sorted(draw(st.sets(st.sampled_from(every), min_size=1))))
        for _ in range(draw(st.integers(0, 3)))
    ]
    least = [item.options[0].lo for item in items]
    caps = [
        Cap(m, max(draw(st.integers(0, size * 2)), sum(least[i] for i in m), int(m is every)))
        for m in sets
    ]
    return items, caps


def allowed(item: Item, x: int) -> Option | None:
    return next((o for o in item.options if o.lo <= x <= o.hi), None)


def assert_feasible(instance: Instance, answer: Solution) -> None:
    items, caps = instance
    for item, x in zip(items, answer.amounts, strict=True):
        assert allowed(item, x)
    for cap in caps:
        assert sum(answer.amounts[i] for i in cap.members) <= cap.room


def brute_force(instance: Instance) -> Fraction:
    items, caps = instance
    values = [
        {
            x: Fraction(*i.curve.income(x)) - o.cost_ray
            for o in i.options
            for x in range(o.lo, o.hi + 1)
        }
        for i in items
    ]
    return max(
        sum((v[x] for v, x in zip(values, amounts, strict=True)), Fraction())
        for amounts in itertools.product(*values)
        if all(sum(amounts[i] for i in cap.members) <= cap.room for cap in caps)
    )


@settings(max_examples=150, deadline=None)
@given(instances(8, 3))
def test_small_markets_are_bounded_by_no_less_than_the_best(instance: Instance) -> None:
    answer = solve(*instance)
    assert_feasible(instance, answer)
    best = brute_force(instance)
    assert answer.value_ray <= best <= answer.bound_ray


@settings(max_examples=150, deadline=None)
@given(instances(8, 3))
def test_small_markets_are_solved_to_the_unit(instance: Instance) -> None:
    """To a unit at a full rate: whole units are coarse here, and nothing else may be lost."""
    answer = solve(*instance)
    steepest = max(
        (
            abs(Fraction(*i.curve.income(x + 1)) - Fraction(*i.curve.income(x)))
            for i in instance[0]
            for x in range(9)
        ),
        default=Fraction(),
    )
    assert brute_force(instance) - answer.value_ray <= steepest + RAY // 10**9


@settings(max_examples=60, deadline=None)
@given(instances(10**13, 6))
def test_large_markets_are_feasible_and_certified(instance: Instance) -> None:
    """Property 56: caps hold in random markets."""
    answer = solve(*instance)
    assert_feasible(instance, answer)
    assert 0 <= answer.gap_ray <= max(answer.bound_ray // 1000, 10 * RAY)


@settings(max_examples=60, deadline=None)
@given(instances(10**24, 5))
def test_amounts_that_no_float_holds_are_feasible_and_certified(instance: Instance) -> None:
    answer = solve(*instance)
    assert_feasible(instance, answer)
    assert 0 <= answer.gap_ray <= max(answer.bound_ray // 1000, 10 * RAY)


@settings(max_examples=60, deadline=None)
@given(instances(10**12, 4), st.integers(0, 3), st.integers(1, 10**12))
def test_a_wider_cap_never_lowers_the_value(instance: Instance, which: int, more: int) -> None:
    items, caps = instance
    wider = [Cap(c.members, c.room + more * (n == which)) for n, c in enumerate(caps)]
    before, after = solve(items, caps), solve(items, wider)
    assert after.value_ray + after.gap_ray >= before.value_ray
    assert after.value_ray >= before.value_ray - before.bound_ray // 10**8 - after.gap_ray


@settings(max_examples=40, deadline=None)
@given(instances(10**9, 4))
def test_same_input_same_answer_and_a_closed_venue_never_helps(instance: Instance) -> None:
    items, caps = instance
    answer = solve(items, caps)
    assert solve(items, caps) == answer
    first = items[0].options[0]
    closed = [replace(items[0], options=(Option(first.lo, first.lo, first.cost_ray),)), *items[1:]]
    assert solve(closed, caps).value_ray <= answer.bound_ray


def scaled(curve: Curve, times: int) -> Any:
    """The same rates in a pool so many times as large."""
    match curve:
        case FixedPot(pot, supply):
            return FixedPot(pot * times, supply * times)
        case Tiered(tiers, rest):
            return Tiered(tuple((bound * times, rate) for bound, rate in tiers), rest)
        case WholeTiered(tiers, rest):
            return WholeTiered(tuple((bound * times, rate) for bound, rate in tiers), rest)
        case Sampled(points):
            return Sampled(tuple((x * times, y * times) for x, y in points))
        case Kinked():
            return replace(curve, supply=curve.supply * times, debt=curve.debt * times)
        case Queued(others, keep, slots):
            wider = (
                replace(s, lo=s.lo * times, offset=s.offset * times, rest_ray=s.rest_ray * times,
                        market=scaled(s.market, times))
                for s in slots
            )  # fmt: skip
            return Queued(others * times, keep, tuple(wider))
    return curve


@settings(max_examples=60, deadline=None)
@given(instances(10**9, 4), st.integers(2, 10**9))
def test_so_many_times_the_money_in_pools_of_so_many_times_earns_so_many_times(
    instance: Instance, times: int
) -> None:
    """Scale-invariant, to the certified gap and a unit a venue."""
    items, caps = instance
    larger = [
        Item(
            scaled(i.curve, times),
            tuple(Option(o.lo * times, o.hi * times, o.cost_ray * times) for o in i.options),
        )
        for i in items
    ]
    small = solve(items, caps)
    large = solve(larger, [Cap(c.members, c.room * times) for c in caps])
    assert large.bound_ray >= small.value_ray * times
    units = len(items) * times * RAY
    assert large.value_ray + large.gap_ray + units >= small.bound_ray * times - units


def test_a_vault_that_lends_by_a_queue_is_searched_well_enough() -> None:
    market = Kinked(8 * 10**12, 7 * 10**12, 0, 4 * PERCENT, 60 * PERCENT, 9 * RAY // 10, 0)
    other = replace(market, debt=5 * 10**12)
    near = Slot(0, 10**12, 3 * PERCENT * 10**12, market)
    rest = near.market.income(near.offset + 2 * 10**12)
    far = Slot(2 * 10**12, 10**12, near.rest_ray + rest[0] // rest[1] // 2, other)
    vault = Queued(4 * 10**12, WAD * 9 // 10, (near, far))
    items = [Item(c, whole(0, 6 * 10**12)) for c in (vault, market, Flat(2 * PERCENT))]
    answer = solve(items, [Cap((0, 1, 2), 10**13), Cap((0, 1), 8 * 10**12)])
    assert all(x > 0 for x in answer.amounts)
    assert answer.gap_ray <= answer.bound_ray // 10**5


def test_prices_say_what_one_more_unit_would_earn() -> None:
    items = [Item(Flat(9 * PERCENT), whole(0, 10**9)), Item(Flat(4 * PERCENT), whole(0, 10**9))]
    answer = solve(items, [Cap((0, 1), 1000), Cap((0,), 300)])
    assert answer.amounts == (300, 700)
    budget, own = answer.prices
    assert abs(budget - 4 * PERCENT) < PERCENT // 10**6
    assert abs(own - 5 * PERCENT) < PERCENT // 10**6


def test_an_entry_that_does_not_pay_its_cost_is_not_made() -> None:
    """Ten thousand at 4 % against 5 %: a hundred a year more, at a cost of 99 or of 101."""
    here = Item(Flat(4 * PERCENT), whole(0, 10_000))
    for cost, there in ((99, 10_000), (101, 0)):
        other = Item(Flat(5 * PERCENT), (Option(0, 0), Option(1, 10_000, cost * RAY)))
        answer = solve([here, other], [Cap((0, 1), 10_000)])
        assert answer.amounts == (10_000 - there, there)
        assert answer.gap_ray <= RAY


def test_a_least_size_is_held_or_nothing() -> None:
    small = Item(Flat(9 * PERCENT), (Option(0, 0), Option(600, 1000)))
    other = Item(Flat(5 * PERCENT), whole(0, 1000))
    assert solve([small, other], [Cap((0, 1), 500)]).amounts == (0, 500)
    assert solve([small, other], [Cap((0, 1), 1000), Cap((0,), 700)]).amounts == (700, 300)


@pytest.mark.parametrize("short", [1, 5, 14])
@pytest.mark.parametrize("count", [1, 3])
def test_a_least_size_that_a_cap_misses_by_a_unit_is_not_held(short: int, count: int) -> None:
    """At the end of a chord may lie a least amount, of which nothing can be taken back."""
    size = 10**9
    pot = Item(FixedPot(10**8 * RAY, size), (Option(0, 0), Option(size, 3 * size)))
    every = tuple(range(count))
    answer = solve([pot] * count, [Cap(every, 3 * size), Cap(every, size - short)])
    assert answer.amounts == (0,) * count
    assert answer.gap_ray >= 0
    answer = solve([pot, Item(Flat(PERCENT), whole(0, size))], [Cap((0, 1), size - short)])
    assert answer.amounts == (0, size - short)


def test_no_venue_at_all_has_an_empty_answer() -> None:
    assert solve([], []).amounts == ()


def test_least_amounts_that_break_a_cap_are_refused() -> None:
    with pytest.raises(ValueError, match="least amounts"):
        solve([Item(Flat(1), whole(5, 9))], [Cap((0,), 4)])

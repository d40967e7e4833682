"""The solver: feasible always, optimal against brute force, certified, deterministic, monotone."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.curves import RAY, Flat
from router.solver import Item, Solution, solve
from tests.router.markets import curves

pytestmark = pytest.mark.unit

Instance = tuple[list[Item], list[int], int]


@st.composite
def instances(draw: st.DrawFn, size: int, items_max: int) -> Instance:
    groups = draw(st.integers(1, 3))
    items = []
    for _ in range(draw(st.integers(1, items_max))):
        lo = draw(st.integers(0, size // 4))
        hi = draw(st.integers(lo, size))
        items.append(Item(draw(curves(size * 2)), lo, hi, draw(st.integers(0, groups - 1))))
    caps = [
        max(draw(st.integers(0, size * 2)), sum(i.lo for i in items if i.group == g))
        for g in range(groups)
    ]
    budget = max(draw(st.integers(0, size * 3)), sum(i.lo for i in items))
    return items, caps, budget


def _assert_feasible(instance: Instance, answer: Solution) -> None:
    items, caps, budget = instance
    assert sum(answer.amounts) <= budget
    for item, x in zip(items, answer.amounts, strict=True):
        assert item.lo <= x <= item.hi
    for group, cap in enumerate(caps):
        pairs = zip(items, answer.amounts, strict=True)
        assert sum(x for item, x in pairs if item.group == group) <= cap


def _brute_force(instance: Instance) -> Fraction:
    items, caps, budget = instance
    values = [{x: Fraction(*i.curve.income(x)) for x in range(i.lo, i.hi + 1)} for i in items]
    best = Fraction(-1)
    for amounts in itertools.product(*values):
        sums = [0] * len(caps)
        for item, x in zip(items, amounts, strict=True):
            sums[item.group] += x
        if sum(amounts) <= budget and all(s <= c for s, c in zip(sums, caps, strict=True)):
            best = max(best, sum((v[x] for v, x in zip(values, amounts, strict=True)), Fraction()))
    return best


def _grain(instance: Instance) -> int:
    """A price is a whole number of ray: two prices a unit, and rounding an item."""
    items, caps, budget = instance
    return budget + sum(min(c, budget) for c in caps) + 2 * len(items) + 2


@settings(max_examples=150, deadline=None)
@given(instances(12, 3))
def test_small_markets_match_brute_force(instance: Instance) -> None:
    answer = solve(*instance)
    _assert_feasible(instance, answer)
    best = _brute_force(instance)
    assert answer.income_ray <= best <= answer.bound_ray
    assert best - answer.income_ray <= _grain(instance)


@settings(max_examples=40, deadline=None)
@given(instances(10**13, 5))
def test_large_markets_are_feasible_and_certified(instance: Instance) -> None:
    """Property 56: caps hold in random markets."""
    answer = solve(*instance)
    _assert_feasible(instance, answer)
    assert answer.gap_ray >= 0
    assert answer.gap_ray <= max(_grain(instance), answer.bound_ray // 1000)


@settings(max_examples=40, deadline=None)
@given(instances(1000, 3), st.integers(0, 2), st.integers(1, 500))
def test_a_wider_cap_never_lowers_the_income(instance: Instance, which: int, more: int) -> None:
    items, caps, budget = instance
    wider = [c + more * (g == which % len(caps)) for g, c in enumerate(caps)]
    slack = _grain((items, wider, budget))
    before, after = solve(items, caps, budget), solve(items, wider, budget)
    assert after.income_ray >= before.income_ray - slack


@settings(max_examples=25, deadline=None)
@given(instances(1000, 3))
def test_same_input_same_answer_and_a_closed_venue_never_helps(instance: Instance) -> None:
    items, caps, budget = instance
    answer = solve(items, caps, budget)
    assert solve(items, caps, budget) == answer
    closed = [replace(items[0], hi=items[0].lo), *items[1:]]
    assert solve(closed, caps, budget).income_ray <= answer.income_ray + _grain(instance)


def test_prices_say_what_one_more_unit_would_earn() -> None:
    percent = RAY // 100
    items = [Item(Flat(9 * percent), 0, 10**9, 0), Item(Flat(4 * percent), 0, 10**9, 1)]
    answer = solve(items, [300, 10**9], 1000)
    assert answer.amounts == (300, 700)
    assert answer.budget_price in range(4 * percent, 4 * percent + 2)
    assert answer.group_prices[0] in range(5 * percent - 1, 5 * percent + 2)
    assert answer.group_prices[1] == 0


def test_leftover_units_go_to_the_dearer_group_first() -> None:
    items = [Item(Flat(0), 0, 1, 0), Item(Flat(12), 0, 2, 1), Item(Flat(0), 0, 0, 0)]
    assert solve(items, [1, 1], 1).amounts == (0, 1, 0)

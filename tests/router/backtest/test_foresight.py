"""Perfect foresight against every way there is, and against everybody else."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.backtest.compare import compare
from router.backtest.foresight import best_wealth
from router.backtest.panel import Panel, Venue
from router.backtest.policy import Policy
from router.backtest.rules import Costs, Rules
from router.backtest.simulate import Move, move_cost
from router.curves import RAY
from tests.router.backtest.panels import USD, A, B, panel, with_cells

pytestmark = pytest.mark.unit

START = 5_000 * USD
RATES = st.lists(st.one_of(st.none(), st.integers(-5, 40)), min_size=4, max_size=4)


def by_force(made: Panel, costs: Costs) -> int:
    """The best end over every sequence of places; None is money that was never put anywhere."""
    ways = product((None, *made.venues), repeat=len(made))
    return max(end for way in ways if (end := walk(made, way, costs)) is not None)


def walk(made: Panel, way: tuple[Venue | None, ...], costs: Costs) -> int | None:
    here, wealth = None, START
    for place, row in zip(way, made.rows, strict=True):
        if place != here:
            if place is None:
                return None
            wealth -= move_cost(Move(here, place, wealth), "USDC", costs)
            here = place
        cell = None if here is None else row[made.venues.index(here)]
        wealth += wealth * cell.growth_ray // RAY if cell else 0
    return wealth


@given(RATES, RATES, RATES)
@settings(max_examples=60, deadline=None)
def test_it_is_the_best_of_all_ways(
    a: list[int | None], b: list[int | None], c: list[int | None]
) -> None:
    made = panel([1, *a[1:]], b, c)
    costs = Costs()
    assert best_wealth(made, START, costs, Rules(), "USDC")[-1] == by_force(made, costs)


@given(RATES, RATES)
@settings(max_examples=40, deadline=None)
def test_nobody_beats_it(a: list[int | None], b: list[int | None]) -> None:
    made = panel([1, *a] * 3, [1, *b] * 3)
    found = compare(made, START, Policy())
    everybody = [found.ours, *found.others.values()]
    assert max(o.wealth[-1] for o in everybody) <= found.foresight[-1]


def test_it_moves_only_where_the_gap_earns_the_costs_back() -> None:
    made = panel([20, 20, 20], [10, 26, 10])
    stays = best_wealth(made, START, Costs(leg=30 * USD), Rules(), "USDC")
    cheap = best_wealth(made, START, Costs(leg=USD), Rules(), "USDC")
    assert stays[-1] == walk(made, (A, A, A), Costs(leg=30 * USD))
    assert cheap[-1] == walk(made, (A, B, A), Costs(leg=USD))


def test_a_venue_without_liquidity_is_closed_to_it_too() -> None:
    made = with_cells(panel([20, 20, 20], [40, 40, 40]), B, withdrawable=START)
    assert best_wealth(made, START, Costs(), Rules(), "USDC")[-1] == walk(made, (A, A, A), Costs())

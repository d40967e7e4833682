"""Costs and growth to the last micro-dollar, worked out by hand."""

import pytest

from router.backtest.baselines import ByTvl, Threshold, Weighted
from router.backtest.panel import Row
from router.backtest.rules import Costs
from router.backtest.simulate import Book, Move, run
from tests.router.backtest.panels import USD, A, B, C, panel, with_cells

pytestmark = pytest.mark.unit

COSTS = Costs()
START = 100_000 * USD


class Script:
    """Makes the moves of each day as they are written down."""

    def __init__(self, *days: list[Move]) -> None:
        self._days = list(days)

    def observe(self, row: Row) -> None:
        pass

    def moves(self, book: Book) -> list[Move]:
        return self._days.pop(0) if self._days else []


def test_an_entry_a_swap_and_an_exit_cost_what_they_should() -> None:
    flat = panel([1, 1, 1], [1, 1, 1], [1, 1, 1])
    entered = (START - 30 * USD) * 1001 // 1000
    move = Move(A, B, entered)
    out = run(flat, lambda: Script([Move(None, A, START)], [move]), START, COSTS, "USDC")
    swap = -(-entered * 2 // 10_000)
    assert [m.cost for m in out.made] == [30 * USD, 60 * USD + swap]
    assert out.wealth[0] == entered
    assert out.wealth[1] == (entered - 60 * USD - swap) * 1001 // 1000
    assert out.wealth[2] == out.wealth[1] + out.wealth[1] // 1000
    assert (out.moves, out.cost) == (1, 90 * USD + swap)


def test_the_first_entry_swaps_from_the_coin_that_the_money_came_in() -> None:
    flat = panel([0], [0], [0])
    out = run(flat, lambda: Script([Move(None, B, START)]), START, COSTS, "USDC")
    assert out.wealth == (START - 50 * USD,)


def test_the_same_coin_is_not_swapped() -> None:
    flat = panel([0, 0], [0, 0], [0, 0])
    there = START - 30 * USD
    days = ([Move(None, A, START)], [Move(A, C, there)])
    assert run(flat, lambda: Script(*days), START, COSTS, "USDC").wealth[-1] == START - 90 * USD


@pytest.mark.parametrize(
    "move", [Move(None, A, START + 1), Move(None, A, 29 * USD), Move(B, A, 1), Move(A, A, 0)]
)
def test_an_impossible_move_is_refused(move: Move) -> None:
    with pytest.raises(ValueError, match="cannot move"):
        run(panel([0], [0], [0]), lambda: Script([move]), START, COSTS, "USDC")


def test_a_day_without_a_rate_earns_nothing() -> None:
    gap = panel([1, None, 1], [0, 0, 0])
    out = run(gap, lambda: Script([Move(None, A, START)]), START, COSTS, "USDC")
    assert out.wealth[0] == out.wealth[1] < out.wealth[2]


def test_the_worst_exposure_is_the_largest_share_ever_held() -> None:
    half = START // 2
    days = [Move(None, A, half), Move(None, C, half)]
    out = run(panel([0], [0], [0]), lambda: Script(days), START, COSTS, "USDC")
    assert (out.exposure_wad, out.worst_venue) == (10**18 // 2, "c:USDC")


def test_weights_are_split_exactly_and_entered_once() -> None:
    three = panel([0, 0], [0, 0], [0, 0])
    out = run(three, lambda: Weighted([(A, 1), (B, 1), (C, 1)]), START, COSTS, "USDC")
    assert sum(m.move.amount for m in out.made) == START
    assert len(out.made) == 3


def test_tvl_weights_are_those_of_the_first_day_that_has_them() -> None:
    sized = with_cells(with_cells(panel([0, 0], [0, 0]), A, tvl=3), B, tvl=1)
    out = run(sized, lambda: ByTvl(sized.venues), START, COSTS, "USDC")
    assert [(m.day, m.move.amount) for m in out.made] == [(1, START * 3 // 4), (1, START // 4)]


def test_a_threshold_looks_at_the_day_before() -> None:
    crossing = panel([2, 2, 0, 0, 0], [1, 1, 3, 3, 3])
    out = run(crossing, lambda: Threshold(crossing.venues, 0), START, COSTS, "USDC")
    assert [(m.day, m.move.target) for m in out.made] == [(1, A), (3, B)]
    patient = run(crossing, lambda: Threshold(crossing.venues, 20_000), START, COSTS, "USDC")
    assert [m.day for m in patient.made] == [1]

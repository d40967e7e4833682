"""The strategy: it sees only the past, and keeps to the rules."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.backtest.panel import Cell, Panel, Row, Venue
from router.backtest.routed import Routed
from router.backtest.rules import Costs, Group, Rules
from router.backtest.simulate import Book, Made, Move, Outcome, run
from router.curves import RAY
from router.tiers import WAD
from tests.router.backtest.panels import PER_MILLE, USD, A, B, C, panel, with_cells

pytestmark = pytest.mark.unit

START = 100_000 * USD
GROWTH = st.integers(0, 8)
DAYS = 12
SERIES = st.lists(GROWTH, min_size=DAYS, max_size=DAYS)


def walk(made: Panel, rules: Rules | None = None, amount: int = START) -> Outcome:
    rules = rules or Rules()
    make = lambda: Routed(made.venues, amount, Costs(), rules)  # noqa: E731
    return run(made, make, amount, Costs(), "USDC")


def changed_from(made: Panel, day: int, growth: int) -> Panel:
    """Every row from a day on says something else."""
    row = tuple(Cell((growth + 7 * i) * PER_MILLE) for i, _ in enumerate(made.venues))
    return replace(made, rows=made.rows[:day] + (row,) * (len(made) - day))


def until(made: tuple[Made, ...], day: int) -> list[Made]:
    return [m for m in made if m.day <= day]


@given(SERIES, SERIES, SERIES, st.integers(1, DAYS - 1), GROWTH)
@settings(max_examples=60, deadline=None)
def test_rows_from_t_on_change_no_decision_up_to_t(
    a: list[int], b: list[int], c: list[int], day: int, growth: int
) -> None:
    """The decision of day t is made at its start, from the rows before it."""
    made = panel(a, b, c)
    other = changed_from(made, day, growth)
    assert until(walk(made).made, day) == until(walk(other).made, day)


def test_the_rule_against_looking_ahead_can_fail() -> None:
    made = panel([1] * 6, [0] * 6, [0] * 6)
    other = changed_from(made, 3, 0)

    class Peeking(Routed):
        """Is shown a row that it should not have seen yet."""

        def __init__(self, all_: Panel) -> None:
            super().__init__(all_.venues, START, Costs(), Rules())
            self._rows = iter(all_.rows[1:])

        def observe(self, row: Row) -> None:
            super().observe(next(self._rows))

    before, after = (
        run(p, lambda p=p: Peeking(p), START, Costs(), "USDC")  # type: ignore[misc]
        for p in (made, other)
    )
    assert until(before.made, 3) != until(after.made, 3)


def test_it_enters_the_best_and_follows_a_lasting_change() -> None:
    made = panel([2] * 10 + [0] * 30, [1] * 40, [1] * 10 + [2] * 30)
    rules = Rules(frozen_days=1000)
    targets = [m.move.target for m in walk(made, rules).made]
    assert targets == [A, C]


def test_a_flicker_that_does_not_earn_its_costs_moves_nothing() -> None:
    tenth = PER_MILLE // 10
    made = panel([2] * 30, [1] * 30)
    flicker = tuple(
        (Cell(2 * tenth), Cell((3 if day % 2 else 1) * tenth)) for day in range(len(made))
    )
    assert walk(replace(made, rows=flicker), Rules(frozen_days=1000)).moves == 0


@pytest.mark.parametrize(
    ("fields", "enters"),
    [
        ({"withdrawable": 3 * START - 1}, False),
        ({"withdrawable": 3 * START}, True),
        ({"utilisation_ray": RAY * 95 // 100 + 1}, False),
        ({"utilisation_ray": RAY * 95 // 100}, True),
        ({}, True),
    ],
)
def test_no_entry_while_liquidity_is_thin_or_utilisation_over_the_limit(
    fields: dict[str, int], enters: bool
) -> None:
    made = with_cells(panel([1] * 5, [5] * 5), B, **fields)
    assert ({m.move.target for m in walk(made).made} == {B}) is enters


def test_the_multiple_is_a_matter_of_policy() -> None:
    made = with_cells(panel([1] * 4, [5] * 4), B, withdrawable=START * 2)
    assert {m.move.target for m in walk(made).made} == {A}
    assert {m.move.target for m in walk(made, Rules(withdrawable_multiple=2)).made} == {B}


def test_the_position_counts_with_what_is_there_already() -> None:
    """40,000 could leave and went in; the other 60,000 would make 100,000 out of 200,000 liquid."""
    dry, wet, thin = 0, 10**9 * USD, 200_000 * USD
    fast, slow = Cell(9 * PER_MILLE), Cell(PER_MILLE)
    rows = [(slow, replace(fast, withdrawable=dry))] * 5
    rows += [(replace(slow, withdrawable=40_000 * USD), replace(fast, withdrawable=wet))]
    rows += [(slow, replace(fast, withdrawable=thin))] * 5
    made = replace(panel([1] * len(rows), [9] * len(rows)), rows=tuple(rows))
    moved = [m.move.amount for m in walk(made, Rules(frozen_days=1000)).made if m.move.source == A]
    assert moved == [40_000 * USD]


def test_what_cannot_be_withdrawn_stays() -> None:
    rows = panel([5] * 3 + [0] * 20, [1] * 3 + [5] * 20)
    stuck = with_cells(rows, A, withdrawable=0)
    free = replace(rows, rows=rows.rows[:3] + stuck.rows[3:])
    rules = Rules(frozen_days=1000)
    assert walk(rows, rules).moves == 1
    assert walk(free, rules).moves == 0


def test_a_missing_rate_is_no_entry() -> None:
    made = panel([1] * 6, [5, None, None, None, None, None])
    late = panel([1] * 6, [None, None, 5, 5, None, 5])
    assert {m.move.target for m in walk(made).made} == {B}  # its rate of the day before is known
    assert [m.day for m in walk(late).made if m.move.target == B] == [3]
    assert all(m.move.target == A for m in walk(panel([1] * 6, [None] * 5 + [9])).made)


def test_a_venue_whose_rate_has_gone_missing_is_not_entered_for_what_it_paid() -> None:
    made = with_cells(panel([1, 2] * 10, [9] * 5 + [None] * 14 + [9]), B, withdrawable=0)
    assert {m.move.target for m in walk(made).made} == {A}


@pytest.mark.parametrize(("frozen_days", "enters"), [(14, False), (100, True)])
def test_a_frozen_rate_is_no_entry(frozen_days: int, enters: bool) -> None:
    """A rate that has stood still for two weeks is a feed that has died, not a venue that pays."""
    alive = panel([1, 2] * 20, [9] * 40)
    thin = with_cells(alive, B, withdrawable=0)
    opens_late = replace(alive, rows=thin.rows[:20] + alive.rows[20:])
    targets = {m.move.target for m in walk(opens_late, Rules(frozen_days=frozen_days)).made}
    assert targets == ({A, B} if enters else {A})


@given(SERIES, SERIES, SERIES, st.sampled_from([WAD // 4, WAD // 3, WAD // 2, WAD * 9 // 10]))
@settings(max_examples=40, deadline=None)
def test_no_entry_breaks_a_cap(a: list[int], b: list[int], c: list[int], share: int) -> None:
    made = panel(a, b, c)
    group = Group("usdc", frozenset({A.label, C.label}), WAD * 6 // 10)
    rules = Rules(share_max_wad=share, groups=(group,))
    checked = Checked(Routed(made.venues, START, Costs(), rules), share)
    run(made, lambda: checked, START, Costs(), "USDC")
    assert checked.worst <= 0


class Checked:
    """Passes everything on, and notes by how much entries overshoot the caps."""

    def __init__(self, inner: Routed, share: int) -> None:
        self._inner, self._share, self.worst = inner, share, 0

    def observe(self, row: Row) -> None:
        self._inner.observe(row)

    def moves(self, book: Book) -> list[Move]:
        moves = list(self._inner.moves(book))
        held = dict(book.held)
        for move in moves:
            held[move.target] = held.get(move.target, 0) + move.amount
            if move.source is not None:
                held[move.source] -= move.amount
            over = held[move.target] - book.total * self._share // WAD
            pair = sum(held.get(v, 0) for v in (A, C)) - book.total * 6 // 10
            came_in = move.target in (A, C) and move.source not in (A, C)
            self.worst = max(self.worst, over, pair if came_in else 0)
        return moves


def test_a_cap_spreads_the_money_and_is_honoured() -> None:
    made = panel([3] * 5, [2] * 5, [1] * 5)
    out = walk(made, Rules(share_max_wad=WAD // 2))
    assert {m.move.target: m.move.amount for m in out.made} == {A: START // 2, B: START // 2}


def test_one_venue_alone_is_entered_and_kept() -> None:
    out = walk(panel([1] * 30, venues=(Venue("a", "USDC"),)))
    assert len(out.made) == 1

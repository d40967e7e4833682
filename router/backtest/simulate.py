"""Walks a strategy through a panel, day by day, with costs. Pure; money is whole micro-USD.

On day t the strategy has been shown the rows up to t - 1 and is asked for moves; they are paid for
and made, and then row t accrues on what lies where. The strategy never holds the panel, so it
cannot look ahead. The first day nobody knows anything: the money waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router.backtest.panel import DAYS, Cell, Panel, Row, Venue
from router.backtest.rules import Costs
from router.curves import RAY


@dataclass(frozen=True, slots=True)
class Move:
    """`source` None is the money that waits; `amount` leaves there, costs come off on the way."""

    source: Venue | None
    target: Venue
    amount: int


@dataclass(slots=True)
class Book:
    """What lies where. `idle` is in `token`, and so is every amount in its venue's own coin."""

    idle: int
    token: str
    held: dict[Venue, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.idle + sum(self.held.values())


class Strategy(Protocol):
    """Sees each day's row once, after the day; then says what to move before the next."""

    def observe(self, row: Row) -> None: ...

    def moves(self, book: Book) -> Sequence[Move]: ...


@dataclass(frozen=True, slots=True)
class Made:
    """A move that was made, on which day of the panel, and what it cost."""

    day: int
    move: Move
    cost: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Wealth after each day; `exposure_wad` is the largest share that one venue ever held."""

    start: int
    wealth: tuple[int, ...]
    made: tuple[Made, ...]
    cost: int
    worst_venue: str
    exposure_wad: int

    @property
    def moves(self) -> int:
        """Moves between venues; the first entry is none."""
        return sum(m.move.source is not None for m in self.made)

    @property
    def apy_pct(self) -> float:
        return apy_pct(self.start, self.wealth[-1], len(self.wealth))


def apy_pct(start: int, end: int, days: int) -> float:
    """Net effective yield a year, in percent: only shown, never part of a decision."""
    return float(((end / start) ** (DAYS / days) - 1) * 100)


def run(
    panel: Panel, make: Callable[[], Strategy], amount: int, costs: Costs, token: str
) -> Outcome:
    """The whole way. A move of more than lies there, or below its cost, raises ValueError."""
    strategy = make()
    book = Book(amount, token)
    wealth: list[int] = []
    made: list[Made] = []
    worst: tuple[int, str] = (0, "")
    for day, row in enumerate(panel.rows):
        if day:
            strategy.observe(panel.rows[day - 1])
        for move in strategy.moves(book):
            made.append(Made(day, move, _make(book, move, costs)))
        accrue(book, panel, row)
        wealth.append(book.total)
        worst = max(worst, _most(book), key=lambda w: w[0])
    return Outcome(
        amount, tuple(wealth), tuple(made), sum(m.cost for m in made), worst[1], worst[0]
    )


def move_cost(move: Move, token: str, costs: Costs) -> int:
    """Micro-USD. `token` is the coin of the money that waits."""
    came_in = token if move.source is None else move.source.token
    legs = 1 if move.source is None else 2
    return costs.of(move.amount, legs, came_in != move.target.token)


def accrue(book: Book, panel: Panel, row: Sequence[Cell | None]) -> None:
    """A day's growth, rounded down. Where the day has no rate, nothing is earned."""
    for i, venue in enumerate(panel.venues):
        cell, held = row[i], book.held.get(venue)
        if held and cell is not None:
            book.held[venue] = held + held * cell.growth_ray // RAY


def _make(book: Book, move: Move, costs: Costs) -> int:
    cost = move_cost(move, book.token, costs)
    there = book.idle if move.source is None else book.held.get(move.source, 0)
    if move.source == move.target or not cost <= move.amount <= there:
        raise ValueError(f"cannot move {move.amount} of {there} at a cost of {cost}")
    if move.source is None:
        book.idle -= move.amount
    else:
        book.held[move.source] -= move.amount
        if not book.held[move.source]:
            del book.held[move.source]
    book.held[move.target] = book.held.get(move.target, 0) + move.amount - cost
    return cost


def _most(book: Book) -> tuple[int, str]:
    total = book.total
    shares = [(x * 10**18 // total, v.label) for v, x in book.held.items() if total]
    return max(shares, default=(0, ""))

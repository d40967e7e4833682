"""Moorage's own strategy in a backtest: goes where the experts' votes are, within the rules. Pure.

Money moves, whole, to the venue with most of the votes when that venue leads by enough. Where a cap
or a lack of liquidity lets only a part move, the part must also earn its costs back within the
voters' patience, and what finds no room goes on to the next venue. A cap binds on the way up only:
it moves nothing out.
"""

from collections.abc import Sequence

from router.backtest.defaults import FROZEN, Parameters
from router.backtest.experts import Experts, Votes
from router.backtest.panel import Row, Venue
from router.backtest.rules import Costs, Rules
from router.backtest.simulate import Book, Move, move_cost
from router.curves import RAY

Held = dict[Venue, int]


class Routed:
    """Requires to be shown every row once, in order, and to be asked after each."""

    def __init__(
        self,
        venues: Sequence[Venue],
        amount: int,
        costs: Costs,
        rules: Rules,
        parameters: Parameters = FROZEN,
    ) -> None:
        self._venues, self._costs, self._rules = tuple(venues), costs, rules
        self._index = {venue: i for i, venue in enumerate(self._venues)}
        self._lead, self._patience = parameters.lead_wad, max(parameters.payback_days)
        self._experts = Experts(venues, amount, costs, rules, parameters)
        self._row: Row = ()

    def observe(self, row: Row) -> None:
        self._row = row
        self._experts.observe(row)

    def moves(self, book: Book) -> Sequence[Move]:
        if not self._row:
            return ()
        votes, held = self._experts.votes(), dict(book.held)
        order = sorted(self._venues, key=lambda v: self._rank(votes, v))
        sources = sorted(book.held, key=lambda v: v.label)
        made: list[Move] = []
        for source in (None, *sources) if book.idle else sources:
            made += self._from(source, order, votes, held, book)
        return made

    def _from(
        self, source: Venue | None, order: list[Venue], votes: Votes, held: Held, book: Book
    ) -> list[Move]:
        """Moves of what lies in one place, to venues that are voted for more. Changes `held`."""
        there, made = self._free(source, book), list[Move]()
        for target in order:
            if target == source:
                break
            amount = min(there, self._rules.room(target, held, book.total, source))
            move = Move(source, target, amount)
            if not amount or not self._open(move, held):
                continue
            if target == order[0] and not self._led(move, votes):
                break
            if amount == book.total or self._pays(move, votes, book):
                made.append(move)
                there -= amount
                _apply(held, move)
        return made

    def _rank(self, votes: Votes, venue: Venue) -> tuple[int, int, str]:
        i = self._index[venue]
        return -votes.shares[i], -votes.growth[i], venue.label

    def _free(self, source: Venue | None, book: Book) -> int:
        """What could leave now, by the newest row."""
        if source is None:
            return book.idle
        cell, held = self._row[self._index[source]], book.held[source]
        if cell is None or cell.withdrawable is None:
            return held
        return min(held, cell.withdrawable)

    def _open(self, move: Move, held: Held) -> bool:
        position = held.get(move.target, 0) + move.amount
        return self._experts.enterable(self._row, self._index[move.target], position)

    def _led(self, move: Move, votes: Votes) -> bool:
        """Whether the target leads the source by enough votes. Money that waits asks for none."""
        if move.source is None:
            return True
        lead = votes.shares[self._index[move.target]] - votes.shares[self._index[move.source]]
        return lead > self._lead

    def _pays(self, move: Move, votes: Votes, book: Book) -> bool:
        """Whether the gap earns the costs back in time. Money that waits may take the longest."""
        growth = votes.growth[self._index[move.target]]
        days = self._patience if move.source is None else votes.days
        gap = growth - (0 if move.source is None else votes.growth[self._index[move.source]])
        return gap * days * move.amount // RAY > move_cost(move, book.token, self._costs)


def _apply(held: Held, move: Move) -> None:
    """What the next move of the day has to reckon with; costs are left out, which leaves room."""
    held[move.target] = held.get(move.target, 0) + move.amount
    if move.source is not None:
        held[move.source] -= move.amount

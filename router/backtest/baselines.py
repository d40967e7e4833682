"""What the strategy is held against, with the same costs: simple rules that anybody could follow.

Pure. None knows the policy. Each sees the panel only through `observe`, but for the one that is
named in hindsight. Money that a rule wants to split is entered once and left to grow.
"""

from collections.abc import Sequence

from router.backtest.panel import MICRO, Panel, Row, Venue
from router.backtest.simulate import Book, Move
from router.curves import RAY

THRESHOLDS_BPS = (25, 50, 100, 200, 300, 500, 800, 1200)


class Weighted:
    """Entered once, before the first day, by fixed weights; with one weight, a single venue."""

    def __init__(self, weights: Sequence[tuple[Venue, int]]) -> None:
        self._weights = [(venue, weight) for venue, weight in weights if weight]

    def observe(self, row: Row) -> None:
        pass

    def moves(self, book: Book) -> Sequence[Move]:
        if not book.idle or book.held:
            return ()
        total = sum(weight for _, weight in self._weights)
        amounts = [book.idle * weight // total for _, weight in self._weights]
        amounts[0] += book.idle - sum(amounts)
        pairs = zip(self._weights, amounts, strict=True)
        return [Move(None, venue, amount) for (venue, _), amount in pairs]


class ByTvl:
    """Entered once, after the first day on which the panel says how large its venues are."""

    def __init__(self, venues: Sequence[Venue]) -> None:
        self._venues = tuple(venues)
        self._inner: Weighted | None = None

    def observe(self, row: Row) -> None:
        if self._inner is None:
            tvl = [(v, (c.tvl or 0) if c else 0) for v, c in zip(self._venues, row, strict=True)]
            self._inner = Weighted(tvl) if any(x for _, x in tvl) else None

    def moves(self, book: Book) -> Sequence[Move]:
        return () if self._inner is None else self._inner.moves(book)


class Threshold:
    """All of it where yesterday's rate was best, if that pays more by so many bp a year; with 0,
    the greedy rule."""

    def __init__(self, venues: Sequence[Venue], bps: int) -> None:
        self._venues = tuple(venues)
        self._gap = RAY * bps // 10_000 // 365
        self._row: Row = ()

    def observe(self, row: Row) -> None:
        self._row = row

    def moves(self, book: Book) -> Sequence[Move]:
        known = {v: c.growth_ray for v, c in zip(self._venues, self._row, strict=False) if c}
        if not known:
            return ()
        best = max(known, key=lambda v: known[v])
        if book.idle:
            return (Move(None, best, book.idle),)
        (source,) = book.held
        if best == source or known[best] - known.get(source, 0) <= self._gap:
            return ()
        # A rule that costs have eaten up stays where it is.
        return (Move(source, best, book.held[source]),) if book.total > 1000 * MICRO else ()


def has_tvl(panel: Panel) -> bool:
    return any(cell is not None and cell.tvl for row in panel.rows for cell in row)

"""A panel: what each venue paid on each day, and what could be known of its liquidity. Pure.

A row is one day. Its growth is what a deposit that lay there all day earned, in ray of itself;
whoever decides at the start of day t has seen the rows before t and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from router.curves import RAY
from router.rates.units import apr_from_apy_down

DAYS = 365
MICRO = 10**6
"""Money here is whole micro-USD. A dollar of every coin is a dollar: pegs are not simulated."""


@dataclass(frozen=True, slots=True)
class Venue:
    name: str
    token: str

    @property
    def label(self) -> str:
        return f"{self.name}:{self.token}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One venue on one day. `growth_ray` is a day's growth; amounts are micro-USD; `None` is what
    the source does not say."""

    growth_ray: int
    withdrawable: int | None = None
    utilisation_ray: int | None = None
    tvl: int | None = None


Row = Sequence[Cell | None]
"""A cell a venue, in the panel's order; `None` where the day has no rate."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Venues in order of label, days without a hole, one row a day."""

    name: str
    venues: tuple[Venue, ...]
    days: tuple[date, ...]
    rows: tuple[tuple[Cell | None, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)


def build(name: str, cells: Mapping[tuple[date, Venue], Cell]) -> Panel:
    """A panel from loose cells. A day between the first and the last that nothing is known of is a
    row without rates. Requires at least one cell."""
    venues = tuple(sorted({v for _, v in cells}, key=lambda v: v.label))
    first, last = min(d for d, _ in cells), max(d for d, _ in cells)
    days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    rows = tuple(tuple(cells.get((day, v)) for v in venues) for day in days)
    return Panel(name, venues, days, rows)


def growth_from_apy_down(apy_ray: int) -> int:
    """A day's growth of a rate that compounds daily to the APY: (1 + apy)^(1/365) - 1."""
    return apr_from_apy_down(apy_ray, DAYS) // DAYS


def growth_from_apr_down(apr_ray: int) -> int:
    """A day's growth of a simple rate on act/365: the other way to read a rate."""
    return apr_ray // DAYS


def from_indices(name: str, series: Mapping[Venue, Iterable[tuple[date, int]]]) -> Panel:
    """Growth as the ratio of two indices, each the last one of its day, exact and without any
    convention. Where days are missing between two, the growth is spread over them evenly: it was
    earned, and nobody knows on which of them."""
    cells: dict[tuple[date, Venue], Cell] = {}
    for venue, points in series.items():
        last_of_day = sorted(dict(points).items())
        for (before, low), (day, high) in pairwise(last_of_day):
            days = (day - before).days
            growth = (high * RAY // low - RAY) // days
            for back in range(days):
                cells[day - timedelta(days=back), venue] = Cell(growth)
    return build(name, cells)

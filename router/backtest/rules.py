"""What a backtest may do: costs, caps and when a venue may be entered. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.backtest.panel import MICRO, Cell, Venue
from router.curves import RAY
from router.tiers import WAD


@dataclass(frozen=True, slots=True)
class Costs:
    """A leg is an entry or an exit; a swap is paid where the coin changes, in bp of the amount."""

    leg: int = 30 * MICRO
    swap_bps: int = 2

    def of(self, amount: int, legs: int, swaps: bool) -> int:
        """Micro-USD, rounded up."""
        return legs * self.leg + (-(-amount * self.swap_bps // 10_000) if swaps else 0)


@dataclass(frozen=True, slots=True)
class Group:
    """Venues that together hold at most a share of everything."""

    name: str
    venues: frozenset[str]
    share_max_wad: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Caps bind on the way up only. Shares are WAD of everything; venues go by label.

    A venue is entered only if its rate of the day before is known and has not stood still for
    `frozen_days` days, if it could pay out `withdrawable_multiple` times the position after the
    entry, and if its utilisation is not over the limit. What a panel does not say holds nobody up.
    """

    share_max_wad: int = WAD
    venues: Mapping[str, int] | None = None
    groups: tuple[Group, ...] = ()
    withdrawable_multiple: int = 3
    utilisation_max_ray: int = RAY * 95 // 100
    frozen_days: int = 14

    def room(
        self, venue: Venue, book: Mapping[Venue, int], total: int, source: Venue | None
    ) -> int:
        """How much more may go there, if `source` is where it comes from."""
        share = (self.venues or {}).get(venue.label, self.share_max_wad)
        rooms = [total * share // WAD - book.get(venue, 0)]
        for group in self.groups:
            if venue.label in group.venues and (source is None or source.label not in group.venues):
                held = sum(x for v, x in book.items() if v.label in group.venues)
                rooms.append(total * group.share_max_wad // WAD - held)
        return max(min(rooms), 0)

    def enterable(self, cell: Cell | None, position: int) -> bool:
        """Whether a venue may hold `position` after an entry, by its row of the day before."""
        if cell is None:
            return False
        needed = self.withdrawable_multiple * position
        if cell.withdrawable is not None and cell.withdrawable < needed:
            return False
        return cell.utilisation_ray is None or cell.utilisation_ray <= self.utilisation_max_ray


class Frozen:
    """Counts for how long each venue's rate has stood still."""

    def __init__(self, venues: int) -> None:
        self._last: list[int | None] = [None] * venues
        self._days = [0] * venues

    def observe(self, row: Sequence[Cell | None]) -> None:
        for i, cell in enumerate(row):
            growth = None if cell is None else cell.growth_ray
            self._days[i] = self._days[i] + 1 if growth == self._last[i] else 1
            self._last[i] = growth

    def days(self, i: int) -> int:
        """How many days in a row have shown the newest rate."""
        return self._days[i]

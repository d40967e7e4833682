"""Perfect foresight with costs: the most that anybody could have had at the end. Pure, exact.

Dynamic programming over (day, venue) with the largest wealth as the value. More money before a
move or a day is never less money after it, so the largest is all that has to be kept. One place at
a time is enough: costs have a fixed part and a proportional one, so a split never pays. Policy caps
are not applied, and the entry rule is asked for the starting amount: both only raise the bound.
"""

from collections.abc import Sequence

from router.backtest.panel import Cell, Panel, Venue
from router.backtest.rules import Costs, Rules
from router.backtest.simulate import Move, move_cost
from router.curves import RAY

Place = Venue | None


def best_wealth(
    panel: Panel, amount: int, costs: Costs, rules: Rules, token: str
) -> tuple[int, ...]:
    """The largest wealth after each day, that day being taken as the last one."""
    at: dict[Place, int] = {None: amount}
    ends: list[int] = []
    for day, row in enumerate(panel.rows):
        known = panel.rows[day - 1] if day else row
        at = _moved(at, panel.venues, known, amount, costs, rules, token)
        at = {place: _grown(place, wealth, panel, row) for place, wealth in at.items()}
        ends.append(max(at.values()))
    return tuple(ends)


def _moved(
    at: dict[Place, int],
    venues: Sequence[Venue],
    known: Sequence[Cell | None],
    amount: int,
    costs: Costs,
    rules: Rules,
    token: str,
) -> dict[Place, int]:
    best = dict(at)
    for target, cell in zip(venues, known, strict=True):
        if not _open(cell, amount, rules):
            continue
        for source, wealth in at.items():
            if source == target:
                continue
            left = wealth - move_cost(Move(source, target, wealth), token, costs)
            if left > best.get(target, 0):
                best[target] = left
    return best


def _open(cell: Cell | None, amount: int, rules: Rules) -> bool:
    """Who knows the future needs no rate of the day before; liquidity binds all the same."""
    return cell is None or rules.enterable(cell, amount)


def _grown(place: Place, wealth: int, panel: Panel, row: Sequence[Cell | None]) -> int:
    cell = None if place is None else row[panel.venues.index(place)]
    return wealth if cell is None else wealth + wealth * cell.growth_ray // RAY

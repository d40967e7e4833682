"""What prices prove: for any prices whatever, a value that no allocation exceeds. Exact.

Each cap's room at its price and each item's best value less its prices are together above every
allocation (Lagrangian duality). They are added up in integers; floats only guess where to look.
"""

from collections.abc import Sequence

import numpy as np

from router.curves import RAY
from router.envelope import Form
from router.pieces import Cap, Item, Piece, best_in
from router.segments import Demand, Segments

GRAIN_BITS = 46
"""An item's best is exact to this many bits of all the money at a full rate."""

Curves = Sequence[tuple[Sequence[Piece], Sequence[Form]]]
"""For each item its pieces and their forms. None is without pieces."""


def bound(
    items: Sequence[Item], curves: Curves, caps: Sequence[Cap], prices: Sequence[int], unit: int
) -> int:
    """In ray. Requires a price of zero or more for each cap."""
    own = [0] * len(items)
    for cap, price in zip(caps, prices, strict=True):
        if price:
            for i in cap.members:
                own[i] += price
    guesses = iter(_guesses(curves, own, unit))
    slack = max(unit * (RAY >> GRAIN_BITS) // max(len(items), 1), 1)
    total = sum(price * cap.room for cap, price in zip(caps, prices, strict=True))
    for item, (pieces, _), price in zip(items, curves, own, strict=True):
        best = [best_in(item.curve, p, price, next(guesses), slack).bound for p in pieces]
        total += max(best)
    return total


def _guesses(curves: Curves, own: Sequence[int], unit: int) -> list[int]:
    """Where each piece's slope meets its item's price, all pieces at once."""
    table = np.array(
        [
            (p.lo / unit, (p.hi - p.lo) / unit, *form[1:], price / RAY)
            for (pieces, forms), price in zip(curves, own, strict=True)
            for p, form in zip(pieces, forms, strict=True)
        ]
    ).T.copy()
    if not table.size:
        return []
    wanted = Demand(Segments(*table[:-1])).at(table[-1]).tolist()
    pieces = (p for pieces, _ in curves for p in pieces)
    return [p.lo + int(y * unit) for p, y in zip(pieces, wanted, strict=True)]

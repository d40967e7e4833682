"""The spread: the operator's part of new yield, above a high-water mark of the share price. Pure.

A loss is made good before any spread is taken again.
"""

from dataclasses import dataclass

from router.curves import BPS, RAY
from router.shares import Totals


@dataclass(frozen=True, slots=True)
class Split:
    """`spread` leaves the holders' assets; `high_water_ray` is the new mark, rounded up."""

    spread: int
    totals: Totals
    high_water_ray: int


def split(totals: Totals, high_water_ray: int, spread_bps: int) -> Split:
    """Take `spread_bps` of what lies above the mark, rounded down. `totals` is after the yield."""
    above = totals.assets * RAY - high_water_ray * totals.shares
    if totals.shares == 0 or above <= 0:
        return Split(0, totals, high_water_ray)
    spread = above * spread_bps // (BPS * RAY)
    left = Totals(totals.assets - spread, totals.shares)
    price_up = -(-left.assets * RAY // left.shares)
    return Split(spread, left, max(high_water_ray, price_up))

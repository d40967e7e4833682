"""Water filling: the best amounts under one cap on their sum. Floats; a search.

All that is used earns one price, the price at which the segments take just what there is. What they
take falls as it rises, so bisection finds between which two of the slopes that segments begin and
end with it lies. Between these nothing begins or ends, and Newton's method finds it.
"""

import numpy as np

from router.segments import Bools, Demand, Floats, Segments

STEPS_MAX = 60
CLOSE = 1e-14
"""Of the room: what may be left or too much, for `router/integers.py` to see to."""


def fill(segments: Segments, room: float) -> tuple[Floats, float]:
    """Amounts, and what one more unit of room would earn. Requires a room above zero."""
    demand = Demand(segments)
    slopes = np.concatenate((demand.first, demand.last, np.zeros(1)))
    levels: list[float] = np.unique(np.maximum(slopes, 0.0)).tolist()
    at = _last_that_fills(demand, levels, room)
    amounts, left = _at_level(demand, levels[at], room)
    if left >= 0.0 or at + 1 == len(levels):
        return amounts, levels[at]
    return _between(demand, levels[at], levels[at + 1], room)


def _last_that_fills(demand: Demand, levels: list[float], room: float) -> int:
    """The index of the highest price at which as much is taken as there is; the first if none."""
    yes, no = 0, len(levels)
    while no - yes > 1:
        middle = (yes + no) // 2
        enough = _sum(demand.at(levels[middle])) >= room
        yes, no = (middle, no) if enough else (yes, middle)
    return yes


def _at_level(demand: Demand, price: float, room: float) -> tuple[Floats, float]:
    """What is taken at a slope, and what the room leaves to all that earn just this: they share
    alike, or get nothing for nothing. Below zero where the room has less than what earns more."""
    amounts = demand.at(price)
    equal = np.where((demand.first == price) & (demand.last == price), amounts, 0.0)
    left, whole = room - _sum(amounts - equal), _sum(equal)
    share = min(max(left, 0.0) / whole, 1.0) if price > 0.0 and whole > 0.0 else 0.0
    return amounts - equal * (1.0 - share), left


def _between(demand: Demand, low: float, high: float, room: float) -> tuple[Floats, float]:
    """Newton's method; halves what is left of low..high where it leads out of it."""
    moving = (demand.last <= low) & (demand.first >= high)
    price = 0.5 * (low + high)
    amounts = demand.at(price)
    for _ in range(STEPS_MAX):
        over = _sum(amounts) - room
        if abs(over) <= CLOSE * room:
            break
        low, high = (price, high) if over > 0.0 else (low, price)
        price = _newton(demand, moving, amounts, price, over)
        if not low < price < high:
            price = 0.5 * (low + high)
        if not low < price < high:
            break  # no float is between them
        amounts = demand.at(price)
    return amounts, price


def _newton(demand: Demand, moving: Bools, amounts: Floats, price: float, over: float) -> float:
    """On the inverse square of all sizes S together, which is a straight line for fixed pots. The
    price itself where nothing moves."""
    begin = demand.segments.supply + demand.segments.start
    size = _sum(np.where(moving, begin + amounts, 0.0))
    with np.errstate(divide="ignore", over="ignore"):
        fall = _sum(np.where(moving, 1.0 / demand.segments.bend(amounts), 0.0))
    if fall == 0.0 or size <= over:
        return price
    ratio = size / (size - over)
    return price + 0.5 * size * (ratio * ratio - 1.0) / fall


def _sum(values: Floats) -> float:
    """One after the other, in their order."""
    return float(np.cumsum(values)[-1])

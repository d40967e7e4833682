"""Maximise separable income under a budget and group caps, in integers, with a certified bound.

Each item lies in lo..hi and in one group. For any prices (budget, groups) the Lagrangian dual is
an upper bound of every feasible allocation, whether or not incomes are concave. Where they are,
filling at the optimal prices meets the bound (the constraints are laminar, so the integer problem
has no duality gap but the grain of a price: one ray). Where a kink makes an income non-concave, a
branch and bound over the curve's ranges closes the gap; what is left of it is reported.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.curves import Curve, Range, Shape, income_down, income_up, pays_at_least

NODES_MAX = 200


@dataclass(frozen=True, slots=True)
class Item:
    """One venue: its curve, the bounds of its amount, and the index of its group."""

    curve: Curve
    lo: int
    hi: int
    group: int


@dataclass(frozen=True, slots=True)
class Solution:
    """Amounts, their yearly income (ray, rounded down) and an upper bound of any feasible one.

    `budget_price` and `group_prices` are what one more unit of that limit would earn a year, in
    ray; `nodes` how many relaxations were solved.
    """

    amounts: tuple[int, ...]
    income_ray: int
    bound_ray: int
    budget_price: int
    group_prices: tuple[int, ...]
    nodes: int

    @property
    def gap_ray(self) -> int:
        return self.bound_ray - self.income_ray


Choice = tuple[tuple[Range, ...], ...]
"""For each item the ranges it may still use, in ascending order."""


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """The dual optimum of one node: the demand at its prices, one grain below them, the bound."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    prices: tuple[int, ...]
    budget_price: int
    bound: int


class _Problem:
    def __init__(self, items: Sequence[Item], caps: Sequence[int], budget: int) -> None:
        self.items, self.caps, self.budget = items, caps, budget
        self.members = [
            [i for i, item in enumerate(items) if item.group == g] for g in range(len(caps))
        ]

    def feasible(self, choice: Choice) -> bool:
        if not all(choice):
            return False
        least = [ranges[0].lo for ranges in choice]
        groups = all(
            sum(least[i] for i in m) <= c for m, c in zip(self.members, self.caps, strict=True)
        )
        return groups and sum(least) <= self.budget

    def relax(self, choice: Choice) -> _Relaxed:
        """Minimise the dual: first the budget's price, then each group's, by bisection."""

        def spent(price: int) -> int:
            wanted = [demand(self.items[i].curve, choice[i], price) for i in range(len(choice))]
            sums = (sum(wanted[i] for i in m) for m in self.members)
            return sum(min(s, c) for s, c in zip(sums, self.caps, strict=True))

        budget_price = _least_price(0, lambda p: spent(p) <= self.budget)
        low, high, prices = [0] * len(choice), [0] * len(choice), []
        for members, cap in zip(self.members, self.caps, strict=True):
            price = _least_price(budget_price, self._fits(choice, members, cap))
            prices.append(price)
            for i in members:
                low[i] = demand(self.items[i].curve, choice[i], price)
                cheaper = max(price - 1, 0)
                high[i] = demand(self.items[i].curve, choice[i], cheaper)
        bound = self._bound(low, budget_price, prices)
        return _Relaxed(tuple(low), tuple(high), tuple(prices), budget_price, bound)

    def _fits(self, choice: Choice, members: list[int], cap: int) -> Callable[[int], bool]:
        def fits(price: int) -> bool:
            return sum(demand(self.items[i].curve, choice[i], price) for i in members) <= cap

        return fits

    def _bound(self, best: Sequence[int], budget_price: int, prices: Sequence[int]) -> int:
        total = budget_price * self.budget
        for group, price in enumerate(prices):
            total += (price - budget_price) * self.caps[group]
        for item, x in zip(self.items, best, strict=True):
            total += income_up(item.curve, x) - prices[item.group] * x
        return total

    def fill(self, relaxed: _Relaxed) -> tuple[int, ...]:
        """Hand out what the prices leave over to those who want it one ray lower.

        Between `low` and `high` every unit of one price earns the same to a ray; dearer groups
        come first, items of one price in their order.
        """
        amounts = list(relaxed.low)
        left = self.budget - sum(amounts)
        room = [
            c - sum(amounts[i] for i in m) for m, c in zip(self.members, self.caps, strict=True)
        ]
        order = sorted(enumerate(self.items), key=lambda n: (-relaxed.prices[n[1].group], n[0]))
        for i, item in order:
            more = max(0, min(relaxed.high[i] - amounts[i], left, room[item.group]))
            amounts[i] += more
            left -= more
            room[item.group] -= more
        return tuple(amounts)

    def income(self, amounts: Sequence[int]) -> int:
        return sum(income_down(i.curve, x) for i, x in zip(self.items, amounts, strict=True))


def _least_price(least: int, enough: Callable[[int], bool]) -> int:
    """The least price >= `least` at which `enough` holds; it holds at every higher one."""
    if enough(least):
        return least
    step = 1
    while not enough(least + step):
        step *= 2
    no, yes = least + step // 2, least + step
    while yes - no > 1:
        middle = (no + yes) // 2
        no, yes = (no, middle) if enough(middle) else (middle, yes)
    return yes


def demand(curve: Curve, ranges: Sequence[Range], price: int) -> int:
    """The amount with the most income less price * amount; the larger one of equals."""
    best, best_value = -1, (0, 1)
    for part in ranges:
        x = _demand_in(curve, part, price)
        n, d = curve.income(x)
        value = (n - price * x * d, d)
        if best < 0 or value[0] * best_value[1] >= best_value[0] * value[1]:
            best, best_value = x, value
    return best


def _demand_in(curve: Curve, part: Range, price: int) -> int:
    if part.shape is Shape.CONVEX:
        (n0, d0), (n1, d1) = curve.income(part.lo), curve.income(part.hi)
        climbs = n1 * d0 - n0 * d1 >= price * (part.hi - part.lo) * d0 * d1
        return part.hi if climbs else part.lo
    yes, no = part.lo, part.hi + 1
    while no - yes > 1:
        middle = (yes + no) // 2
        yes, no = (middle, no) if pays_at_least(curve, middle, price) else (yes, middle)
    return yes


def _within(curve: Curve, lo: int, hi: int) -> tuple[Range, ...]:
    """The curve's ranges cut to lo..hi."""
    cut = (Range(max(r.lo, lo), min(r.hi, hi), r.shape) for r in curve.ranges(hi))
    return tuple(r for r in cut if r.lo <= r.hi)


def _holding(ranges: tuple[Range, ...], x: int) -> tuple[Range, ...]:
    return tuple(r for r in ranges if r.lo <= x <= r.hi)


def _branches(choice: Choice, relaxed: _Relaxed) -> list[Choice]:
    """Two halves of the choice at the item whose demand jumps farthest; none without a jump."""
    jumps = []
    for i, ranges in enumerate(choice):
        low, high = sorted((relaxed.low[i], relaxed.high[i]))
        here, there = _holding(ranges, low)[0], _holding(ranges, high)[0]
        if low != high and (here != there or here.shape is Shape.CONVEX):
            jumps.append((high - low, -i))
    if not jumps:
        return []
    i = -max(jumps)[1]
    low, high = sorted((relaxed.low[i], relaxed.high[i]))
    here = _holding(choice[i], low)[0]
    cut = here.hi if here != _holding(choice[i], high)[0] else (low + high) // 2
    lower = tuple(Range(r.lo, min(r.hi, cut), r.shape) for r in choice[i] if r.lo <= cut)
    upper = tuple(Range(max(r.lo, cut + 1), r.hi, r.shape) for r in choice[i] if r.hi > cut)
    return [(*choice[:i], part, *choice[i + 1 :]) for part in (lower, upper) if part]


def solve(
    items: Sequence[Item], caps: Sequence[int], budget: int, *, nodes_max: int = NODES_MAX
) -> Solution:
    """Requires that every item at its `lo` is feasible: the caller widens caps to what is stuck."""
    problem = _Problem(items, caps, budget)
    root: Choice = tuple(_within(item.curve, item.lo, item.hi) for item in items)
    if not problem.feasible(root):
        raise ValueError("the lower bounds break a cap or the budget")
    grain = budget + sum(min(c, budget) for c in caps) + 2 * len(items) + 2
    best = tuple(item.lo for item in items)
    best_income = problem.income(best)
    first = problem.relax(root)
    open_nodes: list[tuple[int, int, Choice, _Relaxed]] = [(-first.bound, 0, root, first)]
    nodes, closed_bound = 1, 0
    while open_nodes and -open_nodes[0][0] > best_income + grain and nodes < nodes_max:
        _, _, choice, relaxed = heapq.heappop(open_nodes)
        for amounts in _candidates(problem, choice, relaxed):
            income = problem.income(amounts)
            if income > best_income:
                best, best_income = amounts, income
        children = [c for c in _branches(choice, relaxed) if problem.feasible(c)]
        if not children:
            closed_bound = max(closed_bound, relaxed.bound)
        for child in children:
            part = problem.relax(child)
            nodes += 1
            heapq.heappush(open_nodes, (-part.bound, nodes, child, part))
    rest = max((-node[0] for node in open_nodes), default=0)
    bound = min(first.bound, max(best_income, closed_bound, rest))
    prices = tuple(p - first.budget_price for p in first.prices)
    return Solution(best, best_income, bound, first.budget_price, prices, nodes)


def _candidates(problem: _Problem, choice: Choice, relaxed: _Relaxed) -> list[tuple[int, ...]]:
    """Feasible points: the filled relaxation, and each side of its jumps solved on its own."""
    found = [problem.fill(relaxed)]
    for chosen in (relaxed.low, relaxed.high):
        one_each = tuple(_holding(r, x) for r, x in zip(choice, chosen, strict=True))
        if one_each != choice and problem.feasible(one_each):
            found.append(problem.fill(problem.relax(one_each)))
    return found

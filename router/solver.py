"""The best amounts under overlapping caps, in integers, with a certified upper bound.

Incomes may bend either way, jump at an entry's cost, and leave gaps that no amount may lie in. A
relaxation replaces each by its concave envelope (`router/relax.py`); with few caps all but a few
items come out on their own curve (Shapley and Folkman). What lies inside a chord is put on one of
its sides, and branch and bound over the pieces closes the gap that this leaves; what is left of it
is reported. How many relaxations are solved is bounded, not how long they take, so that the same
input gives the same answer anywhere.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from router import integers
from router.envelope import Segment
from router.pieces import Cap, Item, Piece, cut, holding, pieces_of, up_to, value_down
from router.relax import Choice, Relaxation, Relaxed

NODES_MAX = 60
GAP_BITS = 30
"""A gap below this many bits of the bound is closed: some 1e-9."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Amounts, their yearly income less yearly costs (ray, rounded down), and what no allocation
    exceeds. `prices` are what one more unit of each cap would earn a year, in ray; `nodes` how many
    relaxations were solved."""

    amounts: tuple[int, ...]
    value_ray: int
    bound_ray: int
    prices: tuple[int, ...]
    nodes: int

    @property
    def gap_ray(self) -> int:
        return self.bound_ray - self.value_ray


@dataclass(order=True, slots=True)
class _Node:
    """Best bound first, then in the order they were made."""

    minus_bound: int
    number: int
    choice: Choice
    relaxed: Relaxed


class _Search:
    def __init__(self, items: Sequence[Item], caps: Sequence[Cap], nodes_max: int) -> None:
        self.items, self.caps, self.nodes_max = reachable(items, caps), caps, nodes_max
        unit = max(max((cap.room for cap in caps), default=1), 1)
        self.relaxation = Relaxation(self.items, caps, unit)
        self.root: Choice = tuple(pieces_of(item) for item in self.items)
        self.best: tuple[int, ...] | None = None
        self.value = 0
        self.nodes = 0

    def value_of(self, amounts: Sequence[int]) -> int | None:
        """None where they are no answer."""
        if any(sum(amounts[i] for i in cap.members) > cap.room for cap in self.caps):
            return None
        total = 0
        for item, pieces, x in zip(self.items, self.root, amounts, strict=True):
            piece = holding(pieces, x)
            if piece is None:
                return None
            total += value_down(item.curve, piece, x)
        return total

    def relax(self, choice: Choice) -> Relaxed | None:
        self.nodes += 1
        return self.relaxation.solve(choice)

    def offer(self, amounts: Sequence[int]) -> None:
        """Whatever a search may have found: what breaks a cap is no answer."""
        if tuple(amounts) == self.best:
            return
        value = self.value_of(amounts)
        if value is not None and (self.best is None or value > self.value):
            self.best, self.value = tuple(amounts), value

    def settled(self, relaxed: Relaxed) -> bool:
        return relaxed.bound - self.value <= max(relaxed.bound >> GAP_BITS, len(self.items))

    def round(self, choice: Choice, relaxed: Relaxed) -> None:
        """Feasible points near a relaxation: what lies in a chord goes to its near side, or, where
        that does not fit, to its lower one."""
        for nearer in (True, False):
            fixed = tuple(
                (_one(pieces, relaxed.chords.get(i), x, nearer),)
                for i, (pieces, x) in enumerate(zip(choice, relaxed.amounts, strict=True))
            )
            found = self.relax(fixed) if relaxed.chords else relaxed
            if found is not None:
                self.offer(integers.finish(self.items, self.caps, fixed, found))
            if not relaxed.chords:
                return

    def run(self, start: Sequence[int] | None) -> Solution:
        first = self.relax(self.root)
        assert first is not None
        self.offer([pieces[0].lo for pieces in self.root])
        if start is not None:
            self.offer(start)
        open_nodes = [_Node(-first.bound, 0, self.root, first)]
        closed = 0
        while open_nodes and not self.settled(open_nodes[0].relaxed):
            node = heapq.heappop(open_nodes)
            self.round(node.choice, node.relaxed)
            if self.settled(node.relaxed) or self.nodes >= self.nodes_max:
                heapq.heappush(open_nodes, node)
                break
            children = _branches(node.choice, node.relaxed)
            if not children:
                closed = max(closed, node.relaxed.bound)
            for choice in children:
                part = self.relax(choice)
                if part is not None:
                    heapq.heappush(open_nodes, _Node(-part.bound, self.nodes, choice, part))
        rest = max((node.relaxed.bound for node in open_nodes), default=self.value)
        assert self.best is not None
        bound = min(first.bound, max(self.value, closed, rest))
        return Solution(self.best, self.value, bound, first.prices, self.nodes)


def reachable(items: Sequence[Item], caps: Sequence[Cap]) -> list[Item]:
    """The items without amounts far beyond what the others' least leave of each cap. Twice as much
    stays, so that it is the cap that binds and has a price.

    Raises ValueError if even the least of all do not fit.
    """
    least = [item.options[0].lo for item in items]
    most = [item.options[-1].hi for item in items]
    for cap in caps:
        left = cap.room - sum(least[i] for i in cap.members)
        if left < 0:
            raise ValueError("the least amounts break a cap")
        for i in cap.members:
            most[i] = min(most[i], least[i] + 2 * left + 1)
    return [_up_to(item, hi) for item, hi in zip(items, most, strict=True)]


def _up_to(item: Item, hi: int) -> Item:
    return item if item.options[-1].hi <= hi else Item(item.curve, up_to(item.options, hi))


def _one(pieces: tuple[Piece, ...], chord: Segment | None, x: int, nearer: bool) -> Piece:
    """The piece that an amount lies in, or the one at a side of its chord."""
    if chord is not None:
        x = chord.x1 if nearer and chord.x1 - x < x - chord.x0 else chord.x0
    found = holding(pieces, x)
    if found is not None:
        return found
    below = [p for p in pieces if p.hi < x]
    return below[-1] if below else pieces[0]


def _branches(choice: Choice, relaxed: Relaxed) -> list[Choice]:
    """The choice in two at the item whose chord is longest against its amount; none without."""
    if not relaxed.chords:
        return []
    i = max(relaxed.chords, key=lambda i: (relaxed.chords[i].x1 - relaxed.chords[i].x0, -i))
    chord, x = relaxed.chords[i], relaxed.amounts[i]
    ends = [p.hi for p in choice[i] if chord.x0 <= p.hi < chord.x1]
    at = min(ends, key=lambda end: (abs(end - x), end)) if ends else x
    return [(*choice[:i], part, *choice[i + 1 :]) for part in cut(choice[i], at) if part]


def solve(
    items: Sequence[Item],
    caps: Sequence[Cap],
    *,
    start: Sequence[int] | None = None,
    nodes_max: int = NODES_MAX,
) -> Solution:
    """The answer is no worse than `start`, where that is feasible.

    Requires that all items at their least amounts fit under the caps (ValueError if not), and that
    each item is in one cap at least.
    """
    return _Search(items, caps, nodes_max).run(start)

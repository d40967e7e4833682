"""From a search in floats to amounts that fit every cap exactly. Integers.

What a search leaves out by rounding is a few units; they are taken back where a cap is broken and
handed out where there is room, dearest first. Where a unit matters (small amounts), neighbours are
exchanged for as long as that helps.
"""

from collections.abc import Sequence

from router.curves import Curve, Shape
from router.pieces import Cap, Item, Piece, best_in
from router.relax import Choice, Relaxed

SMALL = 1 << 20
"""A cap of fewer units than this: one unit is worth looking at."""
SMALL_ITEMS = 40
EQUAL_BITS = 20
"""What earns its price to so many bits earns it; the dearest of these come first."""


def finish(
    items: Sequence[Item], caps: Sequence[Cap], choice: Choice, relaxed: Relaxed
) -> tuple[int, ...]:
    """Requires one piece an item, whose least amounts fit together."""
    filling = _Filling(items, caps, [pieces[0] for pieces in choice], relaxed)
    filling.take_back()
    filling.hand_out()
    if len(items) <= SMALL_ITEMS and max(cap.room for cap in caps) < SMALL:
        filling.exchange()
    return tuple(filling.amounts)


class _Filling:
    def __init__(
        self,
        items: Sequence[Item],
        caps: Sequence[Cap],
        pieces: Sequence[Piece],
        relaxed: Relaxed,
    ) -> None:
        self.curves: list[Curve] = [item.curve for item in items]
        self.pieces, self.caps = pieces, caps
        self.of: list[list[int]] = [[] for _ in items]
        for number, cap in enumerate(caps):
            for i in cap.members:
                self.of[i].append(number)
        self.price = [sum(relaxed.prices[c] for c in of) for of in self.of]
        self.amounts = [
            _at_end(piece, min(max(x, piece.lo), piece.hi))
            for piece, x in zip(pieces, relaxed.amounts, strict=True)
        ]
        self.left = [cap.room - sum(self.amounts[i] for i in cap.members) for cap in caps]

    def _add(self, i: int, units: int) -> None:
        self.amounts[i] += units
        for cap in self.of[i]:
            self.left[cap] -= units

    def up(self, i: int) -> int | None:
        """What the next unit would earn, in ray, whether it fits or not; None at the end."""
        x = self.amounts[i]
        return _gain(self.curves[i], x, x + 1) if x < self.pieces[i].hi else None

    def down(self, i: int) -> int | None:
        """What giving the last unit back would cost."""
        x = self.amounts[i]
        return -_gain(self.curves[i], x, x - 1) if x > self.pieces[i].lo else None

    def fits(self, i: int) -> int:
        return min(self.left[cap] for cap in self.of[i])

    def take_back(self) -> None:
        """Until every cap holds: from those that miss a unit least first."""
        if min(self.left) >= 0:
            return
        order = sorted(range(len(self.amounts)), key=lambda i: ((self.down(i) or 0), i))
        for i in order:
            over = max((-self.left[cap] for cap in self.of[i]), default=0)
            if over > 0:
                self._add(i, -min(over, self.amounts[i] - self.pieces[i].lo))

    def hand_out(self) -> None:
        """What is left, to whom it earns most above its prices first, and never past the crest."""
        wanting = []
        for i in range(len(self.amounts)):
            gain = self.up(i) if self.fits(i) > 0 else None
            if gain is not None and gain > 0:
                over = gain - self.price[i]
                over = 0 if abs(over) <= gain >> EQUAL_BITS else over
                wanting.append((-over, -gain, i))
        for _, _, i in sorted(wanting):
            more = min(self.fits(i), self.pieces[i].hi - self.amounts[i])
            if more <= 0:
                continue
            x = self.amounts[i]
            reach = Piece(x, x + more, Shape.CONCAVE, 0, self.pieces[i].term)
            if self.pieces[i].shape is Shape.CONVEX:
                to = x + more if _gain(self.curves[i], x, x + more) > 0 else x
            else:
                to = best_in(self.curves[i], reach, 0, x + more, 0).x
            self._add(i, to - x)

    def exchange(self) -> None:
        """One unit from one to another, as long as any such change earns more."""
        for _ in range(8 * len(self.amounts)):
            found = max(self._exchanges(), default=None)
            if found is None:
                return
            _, to, source = found
            if source >= 0:
                self._add(source, -1)
            self._add(to, 1)

    def _exchanges(self) -> list[tuple[int, int, int]]:
        """(gain, to, from) of all that gain; from is -1 where a unit is free."""
        ups, downs = (
            [(i, g) for i in range(len(self.amounts)) if (g := change(i)) is not None]
            for change in (self.up, self.down)
        )
        found = [(g, i, -1) for i, g in ups if g > 0 and self.fits(i) > 0]
        for i, gain in ups:
            for j, loss in downs:
                if i != j and gain > loss and self._swaps(i, j):
                    found.append((gain - loss, i, j))
        return found

    def _swaps(self, to: int, source: int) -> bool:
        return all(self.left[cap] > 0 or cap in self.of[source] for cap in self.of[to])


def _at_end(piece: Piece, x: int) -> int:
    """A search stops just short of an end that it means."""
    near = (piece.hi - piece.lo) >> 30
    if piece.hi - x <= near:
        return piece.hi
    return piece.lo if x - piece.lo <= near else x


def _gain(curve: Curve, x: int, y: int) -> int:
    """What going from x to y earns a year, in ray, rounded down."""
    (n1, d1), (n0, d0) = curve.income(y), curve.income(x)
    return (n1 * d0 - n0 * d1) // (d1 * d0)

"""One relaxation: concave envelopes under the caps, its prices, and what the prices prove.

The search is in floats; `bound` is not. For any prices whatever, each cap's room at its price and
each item's best value less its prices are together above every allocation (Lagrangian duality),
and they are added up in integers.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.curves import RAY, Shape
from router.envelope import Segment, envelope, form_of
from router.interior import Floats, Rows, Segments, maximise
from router.pieces import Best, Cap, Item, Piece, best_in, holding

Choice = tuple[tuple[Piece, ...], ...]
"""For each item the pieces it may still use, ascending."""

HALVINGS = 52
GRAIN_BITS = 46
"""An item's best is exact to this many bits of all the money at a full rate."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """`amounts` as the envelopes have it; `chords` names the items that lie inside one, with it;
    `best` is what each item would take at the prices."""

    amounts: tuple[int, ...]
    chords: dict[int, Segment]
    prices: tuple[int, ...]
    best: tuple[int, ...]
    bound: int


@dataclass(slots=True)
class Relaxation:
    """What all relaxations of one problem share."""

    items: Sequence[Item]
    caps: Sequence[Cap]
    unit: int
    _envelopes: dict[tuple[Piece, ...], tuple[Segment, ...]] = field(default_factory=dict)
    _of: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._of = [[] for _ in self.items]
        for number, cap in enumerate(self.caps):
            for i in cap.members:
                self._of[i].append(number)

    def rooms(self, choice: Choice) -> list[int]:
        """What each cap leaves above the least amounts; below zero where they do not fit."""
        return [cap.room - sum(choice[i][0].lo for i in cap.members) for cap in self.caps]

    def solve(self, choice: Choice) -> Relaxed | None:
        """None if even the least amounts do not fit."""
        if not all(choice):
            return None
        rooms = self.rooms(choice)
        if min(rooms, default=0) < 0:
            return None
        owners, segments = self._segments(choice, rooms)
        prices = [0] * len(self.caps)
        taken = np.zeros(0)
        if segments:
            taken, prices = self._search(owners, segments, rooms)
        self._close(choice, rooms, prices)
        amounts, chords = self._read(choice, owners, segments, taken)
        best, bound = self._prove(choice, prices)
        return Relaxed(amounts, chords, tuple(prices), best, bound)

    def _segments(self, choice: Choice, rooms: Sequence[int]) -> tuple[list[int], list[Segment]]:
        """Those of items that no cap without room holds down."""
        owners: list[int] = []
        segments: list[Segment] = []
        for i, pieces in enumerate(choice):
            if all(rooms[cap] > 0 for cap in self._of[i]):
                for segment in self._envelope(pieces):
                    owners.append(i)
                    segments.append(segment)
        return owners, segments

    def _envelope(self, pieces: tuple[Piece, ...]) -> tuple[Segment, ...]:
        if len(pieces) == 1:
            return envelope(pieces, self.unit)
        found = self._envelopes.get(pieces)
        if found is None:
            found = self._envelopes[pieces] = envelope(pieces, self.unit)
        return found

    def _search(
        self, owners: Sequence[int], segments: Sequence[Segment], rooms: Sequence[int]
    ) -> tuple[Floats, list[int]]:
        """Amounts along each segment (scaled), and each cap's price in ray, rounded down."""
        unit = self.unit
        arrays = Segments(
            np.array([s.x0 / unit for s in segments]),
            np.array([(s.x1 - s.x0) / unit for s in segments]),
            *np.array([(s.form.a, s.form.b, s.form.c, s.form.supply) for s in segments]).T.copy(),
        )
        binding = self._binding(owners, segments, rooms)
        number = {cap: row for row, cap in enumerate(binding)}
        pairs = [
            (number[cap], k)
            for k, owner in enumerate(owners)
            for cap in self._of[owner]
            if cap in number
        ]
        pairs.sort()
        index = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        room = np.array([rooms[cap] / unit for cap in binding])
        point = maximise(arrays, Rows(index[:, 0], index[:, 1], room, len(segments)))
        prices = [0] * len(self.caps)
        for cap, price in zip(binding, point.prices.tolist(), strict=True):
            prices[cap] = max(int(price * RAY), 0)
        return point.y, prices

    def _binding(
        self, owners: Sequence[int], segments: Sequence[Segment], rooms: Sequence[int]
    ) -> list[int]:
        """Caps that all segments together could break; the first cap if none."""
        full = [0] * len(self.caps)
        for owner, segment in zip(owners, segments, strict=True):
            for cap in self._of[owner]:
                full[cap] += segment.x1 - segment.x0
        found = [cap for cap, room in enumerate(rooms) if full[cap] > room]
        return found or [next(c for c in range(len(rooms)) if full[c] > 0)]

    def _close(self, choice: Choice, rooms: Sequence[int], prices: list[int]) -> None:
        """A cap without room has the price at which its dearest member would take no more."""
        for cap, room in enumerate(rooms):
            if room > 0:
                continue
            for i in self.caps[cap].members:
                segments = self._envelope(choice[i])
                if segments:
                    first = segments[0]
                    slope = first.form.slope(first.x0 / self.unit)
                    others = sum(prices[c] for c in self._of[i])
                    prices[cap] += max(int(slope * RAY) + 1 - others, 0)

    def _read(
        self,
        choice: Choice,
        owners: Sequence[int],
        segments: Sequence[Segment],
        taken: Floats,
    ) -> tuple[tuple[int, ...], dict[int, Segment]]:
        chords: dict[int, Segment] = {}
        raised: dict[int, tuple[int, Segment]] = {}
        sums = np.bincount(np.array(owners, dtype=np.int64), taken, len(choice)).tolist()
        amounts = [
            min(pieces[0].lo + int(y * self.unit + 0.5), pieces[-1].hi)
            for pieces, y in zip(choice, sums, strict=True)
        ]
        for owner, segment in zip(owners, segments, strict=True):
            x, near = amounts[owner], (segment.x1 - segment.x0) >> 26
            if segment.x0 <= x <= segment.x1 and segment.piece is None:
                if x - segment.x0 <= near:
                    amounts[owner] = segment.x0
                elif segment.x1 - x <= near:
                    amounts[owner] = segment.x1
                    raised[owner] = x, segment
                else:
                    chords[owner] = segment
        for owner in self._too_much(choice, amounts, raised):
            amounts[owner], chords[owner] = raised[owner]
        return tuple(amounts), chords

    def _too_much(
        self, choice: Choice, amounts: Sequence[int], raised: Collection[int]
    ) -> Iterable[int]:
        """Of those put on the far side of a chord, where less is not allowed: all that share a cap
        which that breaks, be it by a unit."""
        if not raised:
            return []
        least = [
            piece.lo if (piece := holding(pieces, x)) else pieces[0].lo
            for pieces, x in zip(choice, amounts, strict=True)
        ]
        broken = {
            n for n, cap in enumerate(self.caps) if sum(least[i] for i in cap.members) > cap.room
        }
        return [i for i in raised if not broken.isdisjoint(self._of[i])]

    def _prove(self, choice: Choice, prices: Sequence[int]) -> tuple[tuple[int, ...], int]:
        own = [sum(prices[cap] for cap in caps) for caps in self._of]
        guesses = iter(self._guesses(choice, own))
        slack = max(self.unit * (RAY >> GRAIN_BITS) // max(len(choice), 1), 1)
        best, total = [], sum(p * cap.room for p, cap in zip(prices, self.caps, strict=True))
        for item, pieces, price in zip(self.items, choice, own, strict=True):
            found: Best | None = None
            for piece in pieces:
                one = best_in(item.curve, piece, price, next(guesses), slack)
                if found is None or one.bound > found.bound:
                    found = one
            assert found is not None
            best.append(found.x)
            total += found.bound
        return tuple(best), total

    def _guesses(self, choice: Choice, own: Sequence[int]) -> list[int]:
        """Where each piece's slope meets its item's price, all pieces at once."""
        pieces = [(p, own[i]) for i, chosen in enumerate(choice) for p in chosen]
        if not pieces:
            return []
        forms = [form_of(p, self.unit) for p, _ in pieces]
        table = np.array(
            [
                (p.lo / self.unit, p.hi / self.unit, f.a, f.b, f.c, f.supply, price / RAY)
                for (p, price), f in zip(pieces, forms, strict=True)
            ]
        ).T.copy()
        low, high, a, b, c, supply, price = table
        curve = Segments(np.zeros_like(a), high, a, b, c, supply)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            more = curve.slope(middle) >= price
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        return [
            int(x * self.unit) if p.shape is Shape.CONCAVE else p.lo
            for x, (p, _) in zip(high.tolist(), pieces, strict=True)
        ]

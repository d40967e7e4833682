"""One relaxation: concave envelopes under the caps, its prices, and what the prices prove.

The search is in floats; what it proves (`router/duality.py`) is not.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from router import duality
from router.curves import RAY
from router.envelope import Envelope, Segment, envelope
from router.interior import Rows, maximise
from router.pieces import Cap, Item, Piece, holding
from router.segments import Floats, Segments
from router.water import fill

Choice = tuple[tuple[Piece, ...], ...]
"""For each item the pieces it may still use, ascending."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """`amounts` as the envelopes have it; `chords` names the items that lie inside one, with it."""

    amounts: tuple[int, ...]
    chords: dict[int, Segment]
    prices: tuple[int, ...]
    bound: int


@dataclass(slots=True)
class Relaxation:
    """What all relaxations of one problem share."""

    items: Sequence[Item]
    caps: Sequence[Cap]
    unit: int
    _envelopes: dict[tuple[Piece, ...], Envelope] = field(default_factory=dict)
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
        views = [self._envelope(pieces) for pieces in choice]
        owners, segments = self._segments(views, rooms)
        prices = [0] * len(self.caps)
        taken = np.zeros(0)
        if segments:
            taken, prices = self._search(owners, segments, rooms)
        self._close(views, rooms, prices)
        amounts, chords = self._read(choice, owners, segments, taken)
        curves = [(pieces, view.forms) for pieces, view in zip(choice, views, strict=True)]
        bound = duality.bound(self.items, curves, self.caps, prices, self.unit)
        return Relaxed(amounts, chords, tuple(prices), bound)

    def _segments(
        self, views: Sequence[Envelope], rooms: Sequence[int]
    ) -> tuple[list[int], list[Segment]]:
        """Those of items that no cap without room holds down."""
        full = [cap for cap, room in zip(self.caps, rooms, strict=True) if room <= 0]
        held = {i for cap in full for i in cap.members}
        found = [(i, s) for i, view in enumerate(views) if i not in held for s in view.segments]
        return [i for i, _ in found], [segment for _, segment in found]

    def _envelope(self, pieces: tuple[Piece, ...]) -> Envelope:
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
        binding = self._binding(owners, segments, rooms)
        room = [rooms[cap] / self.unit for cap in binding]
        if len(binding) == 1 and self._of_all(binding[0], owners):
            taken, price = fill(self._arrays(segments), room[0])
            found = [price]
        else:
            rows = self._rows(owners, binding, room)
            point = maximise(self._arrays(segments), rows)
            taken, found = point.y, point.prices.tolist()
        prices = [0] * len(self.caps)
        for cap, price in zip(binding, found, strict=True):
            prices[cap] = max(int(price * RAY), 0)
        return taken, prices

    def _arrays(self, segments: Sequence[Segment]) -> Segments:
        unit = self.unit
        table = [(s.x0 / unit, (s.x1 - s.x0) / unit, *s.form[1:]) for s in segments]
        return Segments(*np.array(table).T.copy())

    def _of_all(self, cap: int, owners: Sequence[int]) -> bool:
        return all(cap in self._of[owner] for owner in owners)

    def _rows(self, owners: Sequence[int], binding: Sequence[int], room: Sequence[float]) -> Rows:
        number = {cap: row for row, cap in enumerate(binding)}
        pairs = sorted(
            (number[cap], k)
            for k, owner in enumerate(owners)
            for cap in self._of[owner]
            if cap in number
        )
        index = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return Rows(index[:, 0], index[:, 1], np.array(room), len(owners))

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

    def _close(self, views: Sequence[Envelope], rooms: Sequence[int], prices: list[int]) -> None:
        """A cap without room has the price at which its dearest member would take no more."""
        for cap, room in enumerate(rooms):
            if room > 0:
                continue
            for i in self.caps[cap].members:
                if views[i].segments:
                    first = views[i].segments[0]
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

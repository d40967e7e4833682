"""The least concave income above what one venue may hold: its pieces, and chords over the gaps.

Floats, for the search in `router/interior.py` only. Amounts are scaled by `unit` base units and
incomes by `unit` times RAY, so that all numbers are near one. Where pieces leave gaps, bend the
wrong way or cost something to enter, a chord connects two of their points; no allocation can end
inside one, but a relaxation can.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from router.curves import RAY, Rational, Shape
from router.pieces import Piece

SAMPLES = 32
"""Points looked at in each piece to find where chords touch it, closer where it bends more."""
JUMP = 1e-12
"""Pieces that differ by more where they touch (all incomes are near one) do not join."""


class Form(NamedTuple):
    """Scaled: const + x * (a + b/S + c/S^2) with S = supply + x."""

    const: float
    a: float
    b: float
    c: float
    supply: float

    def at(self, x: float) -> float:
        size = self.supply + x
        return self.const + x * (self.a + (self.b + self.c / size) / size)

    def slope(self, x: float) -> float:
        size = self.supply + x
        twist = self.c * (self.supply - x) / size
        return self.a + (self.b * self.supply + twist) / (size * size)


class Segment(NamedTuple):
    """From x0 to x1 (base units) along a piece, or along a chord where `piece` is None."""

    x0: int
    x1: int
    form: Form
    piece: Piece | None


class Envelope(NamedTuple):
    """Each piece's own income, and the segments of the least concave one above them all: ascending
    from the least amount of the pieces to the largest, with slopes that fall all the way."""

    forms: tuple[Form, ...]
    segments: tuple[Segment, ...]


def form_of(piece: Piece, unit: int) -> Form:
    term = piece.term
    supply = max(term.supply, 1)  # what nobody else is in has no slope at its first unit
    return Form(
        _ratio(term.const, RAY * unit) - piece.cost_ray / (RAY * unit),
        _ratio(term.a, RAY),
        _ratio(term.b, RAY * unit),
        _ratio(term.c, RAY * unit * unit),
        supply / unit,
    )


def _ratio(value: Rational, by: int) -> float:
    return value[0] / (value[1] * by)


def envelope(pieces: Sequence[Piece], unit: int) -> Envelope:
    forms = tuple([form_of(p, unit) for p in pieces])
    if _falls(pieces, forms, unit):
        return Envelope(forms, _end_to_end(pieces, forms))
    return Envelope(forms, _joined(_hull(_points(pieces, forms, unit)), forms, pieces))


def _end_to_end(pieces: Sequence[Piece], forms: Sequence[Form]) -> tuple[Segment, ...]:
    found, begin = [], pieces[0].lo
    for piece, form in zip(pieces, forms, strict=True):
        if piece.lo < piece.hi:
            found.append(Segment(begin, piece.hi, form, piece))
        begin = piece.hi
    return tuple(found)


def _falls(pieces: Sequence[Piece], forms: Sequence[Form], unit: int) -> bool:
    """Whether the pieces are one concave income as they are."""
    if Shape.CONVEX in [p.shape for p in pieces]:
        return False
    for n, (p, q) in enumerate(pairwise(pieces)):
        if q.lo != p.hi + 1 or q.cost_ray != p.cost_ray:
            return False
        before, after = p.hi / unit, q.lo / unit
        slope, jump = forms[n].slope(before), forms[n + 1].at(after) - forms[n].at(before)
        if forms[n + 1].slope(after) > slope or abs(jump) > 2.0 * abs(slope) / unit + JUMP:
            return False
    return True


class _Point(NamedTuple):
    amount: int
    x: float
    value: float
    piece: int
    sample: int


def _points(pieces: Sequence[Piece], forms: Sequence[Form], unit: int) -> list[_Point]:
    found = []
    for index, (piece, form) in enumerate(zip(pieces, forms, strict=True)):
        last = -1
        for sample, amount in enumerate(_amounts(piece)):
            if amount > last:
                x = amount / unit
                found.append(_Point(amount, x, form.at(x) if amount else form.const, index, sample))
                last = amount
    return found


def _amounts(piece: Piece) -> list[int]:
    """Squares of an even grid: incomes bend most at small amounts."""
    if piece.lo == piece.hi:
        return [piece.lo]
    if piece.shape is Shape.CONVEX:
        return [piece.lo, piece.hi]
    span, steps = piece.hi - piece.lo, SAMPLES - 1
    return [piece.lo + span * k * k // (steps * steps) for k in range(SAMPLES)]


def _hull(points: Sequence[_Point]) -> list[_Point]:
    """The points on the upper side, ascending (A. M. Andrew, 1979)."""
    kept: list[_Point] = []
    for p in points:
        while len(kept) > 1 and _below(kept[-2], kept[-1], p):
            kept.pop()
        if len(kept) == 1 and kept[0].amount == p.amount:
            kept.pop()
        kept.append(p)
    return kept


def _below(a: _Point, b: _Point, c: _Point) -> bool:
    return (b.value - a.value) * (c.x - a.x) <= (c.value - a.value) * (b.x - a.x)


def _joined(
    hull: Sequence[_Point], forms: Sequence[Form], pieces: Sequence[Piece]
) -> tuple[Segment, ...]:
    """Neighbours on one concave piece run along it, all others along a chord. Pieces that touch
    need none."""
    found: list[Segment] = []
    for p, q in pairwise(hull):
        piece = pieces[p.piece]
        along = p.piece == q.piece and q.sample == p.sample + 1 and piece.shape is Shape.CONCAVE
        if along and found and found[-1].piece is piece and found[-1].x1 == p.amount:
            found[-1] = Segment(found[-1].x0, q.amount, found[-1].form, piece)
        elif along:
            found.append(Segment(p.amount, q.amount, forms[p.piece], piece))
        elif q.x > p.x and (q.amount > p.amount + 1 or p.piece == q.piece):
            slope = (q.value - p.value) / (q.x - p.x)
            found.append(Segment(p.amount, q.amount, Form(0.0, slope, 0.0, 0.0, 1.0), None))
    return tuple(found)

"""What one venue may hold, cut into pieces on which its income bends one way. Exact.

An option is a range of amounts with what it costs to be there (an entry's gas, say), as if it were
paid every year: then income and costs add up. Options cut at a curve's ranges and terms are pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from router.curves import Curve, Rational, Shape, Term, income_down, income_up, pays_at_least


@dataclass(frozen=True, slots=True)
class Option:
    """The integers lo..hi, at a yearly cost in ray."""

    lo: int
    hi: int
    cost_ray: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A venue: its curve, and its options in ascending order without overlap."""

    curve: Curve
    options: tuple[Option, ...]


class Piece(NamedTuple):
    """The integers lo..hi of one option, within one range and one term of the curve."""

    lo: int
    hi: int
    shape: Shape
    cost_ray: int
    term: Term


@dataclass(frozen=True, slots=True)
class Cap:
    """What the items at `members` may sum up to."""

    members: tuple[int, ...]
    room: int


def pieces_of(item: Item) -> tuple[Piece, ...]:
    """All pieces, ascending, but for amounts that are never better than less. Empty where no option
    has an amount in it."""
    terms = item.curve.terms()
    crest = _crest(terms)
    options = [
        o if crest is None or o.hi <= crest else Option(o.lo, max(o.lo, crest), o.cost_ray)
        for o in item.options
    ]
    most = max((o.hi for o in options), default=-1)
    if most < 0:
        return ()
    ranges, spans = item.curve.ranges(most), _spans(terms, most)
    return tuple(
        [
            Piece(lo, hi, r.shape, option.cost_ray, term)
            for option in options
            for r in ranges
            for first, last, term in spans
            if (lo := max(option.lo, r.lo, first)) <= (hi := min(option.hi, r.hi, last))
        ]
    )


def _crest(terms: Sequence[Term]) -> int | None:
    """Beyond it more only earns less, so that no answer needs it; None: more earns more for ever.

    The slope of x(b/S + c/S^2) is (bsS + c(s - x)) / S^3: no longer above zero from
    x = s(c + bs) / (c - bs) on.
    """
    term = terms[-1]
    (an, _), (bn, bd), (cn, cd), s = term.a, term.b, term.c, term.supply
    top, fall = cn * bd + bn * s * cd, cn * bd - bn * s * cd
    if an != 0 or fall <= 0 or s == 0:
        return None
    begins = 0 if len(terms) == 1 else (terms[-2].hi or 0) + 1
    return max(-(-s * top // fall), begins)


def _spans(terms: Sequence[Term], most: int) -> list[tuple[int, int, Term]]:
    found, first = [], 0
    for term in terms:
        last = most if term.hi is None else min(term.hi, most)
        found.append((first, last, term))
        first = last + 1
    return found


def cut(pieces: Sequence[Piece], at: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The same amounts in two: up to `at`, and above it."""
    lower = tuple(
        Piece(p.lo, min(p.hi, at), p.shape, p.cost_ray, p.term) for p in pieces if p.lo <= at
    )
    upper = tuple(
        Piece(max(p.lo, at + 1), p.hi, p.shape, p.cost_ray, p.term) for p in pieces if p.hi > at
    )
    return lower, upper


def holding(pieces: Sequence[Piece], x: int) -> Piece | None:
    for piece in pieces:  # not `next`: searches ask nothing so often
        if piece.lo <= x <= piece.hi:
            return piece
    return None


def value_down(curve: Curve, piece: Piece, x: int) -> int:
    """Yearly income less the cost of being in this piece, in ray."""
    return income_down(curve, x) - piece.cost_ray


class Best(NamedTuple):
    """The amount of one piece with the most value less price * amount, and what no amount of the
    piece exceeds."""

    x: int
    bound: int


def best_in(curve: Curve, piece: Piece, price: int, guess: int, slack: int) -> Best:
    """Exact but for `slack` (ray). A near `guess` saves time, no more.

    On a concave piece nothing exceeds the two lines through neighbours of any amount; where they
    leave more than `slack` open, the best is looked for from there.
    """
    if piece.shape is Shape.CONVEX:
        ends = [(income_up(curve, x) - price * x, x) for x in (piece.lo, piece.hi)]
        most, x = max(ends)
        return Best(x, most - piece.cost_ray)
    x = min(max(guess, piece.lo), piece.hi)
    here = curve.income(x)
    over = _overshoot(curve, piece, price, x, here)
    if over > slack:
        x, over = _best_near(curve, piece, price, x), 0
        here = curve.income(x)
    return Best(x, -(-here[0] // here[1]) - price * x + over - piece.cost_ray)


def _overshoot(curve: Curve, piece: Piece, price: int, x: int, here: Rational) -> int:
    """By how much some other amount of the piece might be better than x, which earns `here`, at
    most."""
    n0, d0 = here
    over = 0
    if x < piece.hi:
        n, d = curve.income(x + 1)
        rise = -(-(n * d0 - n0 * d) // (d * d0)) - price
        over = max(over, rise * (piece.hi - x))
    if x > piece.lo:
        n, d = curve.income(x - 1)
        fall = price - (n0 * d - n * d0) // (d * d0)
        over = max(over, fall * (x - piece.lo))
    return over


def _best_near(curve: Curve, piece: Piece, price: int, near: int) -> int:
    """The largest amount of the piece whose last unit earns the price: in steps from `near` that
    double until they have passed it, then by bisection."""
    yes, no, step = piece.lo, piece.hi + 1, 1
    at = max(near, piece.lo + 1)
    while yes < at < no:
        if pays_at_least(curve, at, price):
            yes, at = at, near + step
        else:
            no, at = at, near - step
        step *= 2
    while no - yes > 1:
        middle = (yes + no) // 2
        yes, no = (middle, no) if pays_at_least(curve, middle, price) else (yes, middle)
    return yes


def up_to(options: Sequence[Option], hi: int) -> tuple[Option, ...]:
    return tuple(Option(o.lo, min(o.hi, hi), o.cost_ray) for o in options if o.lo <= hi)


def whole(lo: int, hi: int) -> tuple[Option, ...]:
    """One option without a cost; none if there is nothing between."""
    return (Option(lo, hi),) if lo <= hi else ()

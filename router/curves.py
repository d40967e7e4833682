"""What a venue pays as a function of our own deposit: net simple APR on act/365, exact rationals.

`income(x)` is what a deposit of x base units earns in a year, in base units times RAY, as
(numerator, denominator): no rounding happens here, so that marginal comparisons are exact.
The own position is never part of a curve's `supply`: x is the whole own deposit.

A curve splits 0..hi into ranges on each of which income is concave or convex in x. The kinds of
curve are in `stated_curves.py` (what a venue states) and `lending_curves.py` (what borrowers pay).
"""

from enum import StrEnum
from typing import Any, NamedTuple, Protocol

RAY = 10**27
YEAR_S = 31_536_000
BPS = 10_000

Rational = tuple[int, int]


class Shape(StrEnum):
    CONCAVE = "concave"
    CONVEX = "convex"


class Range(NamedTuple):
    """The integers lo..hi, and how income bends between them."""

    lo: int
    hi: int
    shape: Shape


class Term(NamedTuple):
    """income(x) = const + x * (a + b/S + c/S^2) with S = supply + x, for x up to `hi`.

    Every curve is a chain of these, exactly but for `Queued`; `hi` of None is without end. All are
    in units of `income`, so b is an amount times a rate, and c an amount squared times a rate.
    """

    hi: int | None
    const: Rational = (0, 1)
    a: Rational = (0, 1)
    b: Rational = (0, 1)
    c: Rational = (0, 1)
    supply: int = 0


class Curve(Protocol):
    def income(self, x: int) -> Rational:
        """Yearly income of a deposit of x, in base units times RAY. Requires x >= 0."""
        ...

    def ranges(self, hi: int) -> tuple[Range, ...]:
        """Disjoint ranges in ascending order that cover 0..hi."""
        ...

    def terms(self) -> tuple[Term, ...]:
        """The same income in one form for all curves, ascending, the last one without end."""
        ...

    def to_json(self) -> dict[str, Any]: ...


def split(lo: int, hi: int, cuts: list[int], shape: Shape) -> tuple[Range, ...]:
    parts = []
    for cut in cuts:
        parts.append(Range(lo, cut, shape))
        lo = cut + 1
    return (*parts, Range(lo, hi, shape))


def income_down(curve: Curve, x: int) -> int:
    numerator, denominator = curve.income(x)
    return numerator // denominator


def income_up(curve: Curve, x: int) -> int:
    numerator, denominator = curve.income(x)
    return -(-numerator // denominator)


def rate_ray_down(curve: Curve, x: int) -> int:
    """The APR that a whole deposit of x earns. At x = 0: what the first unit would earn."""
    x = max(x, 1)
    numerator, denominator = curve.income(x)
    return numerator // (denominator * x)


def marginal_down(curve: Curve, x: int) -> int:
    """What the unit from x-1 to x adds to the yearly income, in ray. Requires x >= 1."""
    n1, d1 = curve.income(x)
    n0, d0 = curve.income(x - 1)
    return (n1 * d0 - n0 * d1) // (d1 * d0)


def pays_at_least(curve: Curve, x: int, price_ray: int) -> bool:
    """Whether the unit from x-1 to x earns `price_ray` or more. Exact. Requires x >= 1."""
    n1, d1 = curve.income(x)
    n0, d0 = curve.income(x - 1)
    return n1 * d0 - n0 * d1 >= price_ray * d1 * d0

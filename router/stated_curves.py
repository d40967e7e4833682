"""Curves of venues that state what they pay: a rate, tiers of rates, a pot, or samples."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from router.curves import Range, Rational, Shape, Term, split


@dataclass(frozen=True, slots=True)
class Flat:
    """A constant rate: staking, and vaults whose rate does not feel our size."""

    rate_ray: int

    def income(self, x: int) -> Rational:
        return x * self.rate_ray, 1

    def ranges(self, hi: int) -> tuple[Range, ...]:
        return (Range(0, hi, Shape.CONCAVE),)

    def terms(self) -> tuple[Term, ...]:
        return (Term(None, a=(self.rate_ray, 1)),)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "flat", "rate_ray": str(self.rate_ray)}


@dataclass(frozen=True, slots=True)
class FixedPot:
    """A fixed yearly pot shared by all deposits: income = pot * x / (supply + x)."""

    pot_ray: int
    supply: int

    def income(self, x: int) -> Rational:
        return self.pot_ray * x, max(self.supply + x, 1)

    def ranges(self, hi: int) -> tuple[Range, ...]:
        return (Range(0, hi, Shape.CONCAVE),)

    def terms(self) -> tuple[Term, ...]:
        return (Term(None, b=(self.pot_ray, 1), supply=self.supply),)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "fixed_pot", "pot_ray": str(self.pot_ray), "supply": str(self.supply)}


@dataclass(frozen=True, slots=True)
class Tiered:
    """Marginal tiers of an exchange: each part of the balance earns the rate of its own tier.

    `tiers` is ((upper bound, rate in ray), ...) with ascending bounds; what lies above the last
    bound earns `rest_ray`.
    """

    tiers: tuple[tuple[int, int], ...]
    rest_ray: int

    def income(self, x: int) -> Rational:
        total, below = 0, 0
        for bound, rate in self.tiers:
            if x <= bound:
                return total + (x - below) * rate, 1
            total += (bound - below) * rate
            below = bound
        return total + (x - below) * self.rest_ray, 1

    def ranges(self, hi: int) -> tuple[Range, ...]:
        cuts = []
        rates = [rate for _, rate in self.tiers] + [self.rest_ray]
        for (bound, rate), following in zip(self.tiers, rates[1:], strict=True):
            if following > rate and bound < hi:
                cuts.append(bound)
        return split(0, hi, cuts, Shape.CONCAVE)

    def terms(self) -> tuple[Term, ...]:
        found, total, below = [], 0, 0
        for bound, rate in self.tiers:
            found.append(Term(bound, const=(total - below * rate, 1), a=(rate, 1)))
            total += (bound - below) * rate
            below = bound
        found.append(Term(None, const=(total - below * self.rest_ray, 1), a=(self.rest_ray, 1)))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "tiered",
            "tiers": [[str(bound), str(rate)] for bound, rate in self.tiers],
            "rest_ray": str(self.rest_ray),
        }


@dataclass(frozen=True, slots=True)
class WholeTiered:
    """Whole-balance tiers: the whole deposit earns the rate of the tier that it falls in.

    `tiers` is ((upper bound, rate in ray), ...) with ascending bounds, each bound inside its tier;
    above the last bound everything earns `rest_ray`. Income jumps at a bound, down as well as up:
    one unit more can cost the better rate on all of it.
    """

    tiers: tuple[tuple[int, int], ...]
    rest_ray: int

    def income(self, x: int) -> Rational:
        rate = next((rate for bound, rate in self.tiers if x <= bound), self.rest_ray)
        return x * rate, 1

    def ranges(self, hi: int) -> tuple[Range, ...]:
        """One a tier: income is a straight line inside each and jumps between them."""
        rates = [rate for _, rate in self.tiers] + [self.rest_ray]
        cuts = [
            bound
            for (bound, rate), following in zip(self.tiers, rates[1:], strict=True)
            if following != rate and bound < hi
        ]
        return split(0, hi, cuts, Shape.CONCAVE)

    def terms(self) -> tuple[Term, ...]:
        found = [Term(bound, a=(rate, 1)) for bound, rate in self.tiers]
        return (*found, Term(None, a=(self.rest_ray, 1)))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "whole_tiered",
            "tiers": [[str(bound), str(rate)] for bound, rate in self.tiers],
            "rest_ray": str(self.rest_ray),
        }


@dataclass(frozen=True, slots=True)
class Sampled:
    """Income known at some sizes only: straight lines between `points`, (x, income in ray).

    They ascend from (0, 0). Above the last one income stays what it is there: who samples gives the
    venue a capacity that ends at it.
    """

    points: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.points or self.points[0] != (0, 0):
            raise ValueError("points: the first must be (0, 0)")
        if any(a >= b for (a, _), (b, _) in pairwise(self.points)):
            raise ValueError("points: sizes must ascend")

    def income(self, x: int) -> Rational:
        at = bisect_right(self.points, x, key=lambda p: p[0])
        x0, y0 = self.points[at - 1]
        if at == len(self.points):
            return y0, 1
        x1, y1 = self.points[at]
        return y0 * (x1 - x0) + (y1 - y0) * (x - x0), x1 - x0

    def ranges(self, hi: int) -> tuple[Range, ...]:
        """As long as slopes fall a range is concave, as long as they rise it is convex."""
        parts: list[Range] = []
        lo, shape = 0, None
        last, end = self.points[-1]
        line = [*self.points, (last + 1, end)]
        for (x0, y0), (x1, y1), (x2, y2) in zip(line, line[1:], line[2:], strict=False):
            if x1 >= hi:
                break
            turn = (y2 - y1) * (x1 - x0) - (y1 - y0) * (x2 - x1)
            wanted = Shape.CONVEX if turn > 0 else Shape.CONCAVE
            if turn == 0 or wanted is shape:
                continue
            if shape is not None:
                parts.append(Range(lo, x1, shape))
                lo, shape = x1 + 1, None
            else:
                shape = wanted
        return (*parts, Range(lo, hi, shape or Shape.CONCAVE))

    def terms(self) -> tuple[Term, ...]:
        found = []
        for (x0, y0), (x1, y1) in pairwise(self.points):
            rise, run = y1 - y0, x1 - x0
            found.append(Term(x1, const=(y0 * run - rise * x0, run), a=(rise, run)))
        return (*found, Term(None, const=(self.points[-1][1], 1)))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "sampled", "points": [[str(x), str(y)] for x, y in self.points]}

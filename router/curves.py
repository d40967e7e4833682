"""What a venue pays as a function of our own deposit: net simple APR on act/365, exact rationals.

`income(x)` is what a deposit of x base units earns in a year, in base units times RAY, as
(numerator, denominator): no rounding happens here, so that marginal comparisons are exact.
The own position is never part of a curve's `supply`: x is the whole own deposit.

A curve splits 0..hi into ranges on each of which income is concave or convex in x. Utilisation
curves have a kink: above it the rate falls steeply with every unit we add, below it slowly, so the
marginal income jumps up where our deposit pushes the pool below its kink.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

RAY = 10**27
YEAR_S = 31_536_000
BPS = 10_000

Rational = tuple[int, int]


class Shape(StrEnum):
    CONCAVE = "concave"
    CONVEX = "convex"


@dataclass(frozen=True, slots=True)
class Range:
    """The integers lo..hi, and how income bends between them."""

    lo: int
    hi: int
    shape: Shape


class Curve(Protocol):
    def income(self, x: int) -> Rational:
        """Yearly income of a deposit of x, in base units times RAY. Requires x >= 0."""
        ...

    def ranges(self, hi: int) -> tuple[Range, ...]:
        """Disjoint ranges in ascending order that cover 0..hi."""
        ...

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Flat:
    """A constant rate: staking, and vaults whose rate does not feel our size."""

    rate_ray: int

    def income(self, x: int) -> Rational:
        return x * self.rate_ray, 1

    def ranges(self, hi: int) -> tuple[Range, ...]:
        return (Range(0, hi, Shape.CONCAVE),)

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
        return _split(0, hi, cuts, Shape.CONCAVE)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "tiered",
            "tiers": [[str(bound), str(rate)] for bound, rate in self.tiers],
            "rest_ray": str(self.rest_ray),
        }


@dataclass(frozen=True, slots=True)
class Kinked:
    """A lending pool with a two-slope borrow rate (Aave V3): the supplier's side of it.

    `supply` is liquidity plus debt without our own deposit; `debt` what is borrowed. Rates and the
    optimal utilisation are in ray; the reserve factor in basis points of the borrowers' interest.
    """

    supply: int
    debt: int
    base_ray: int
    slope1_ray: int
    slope2_ray: int
    optimal_ray: int
    reserve_factor_bps: int

    def income(self, x: int) -> Rational:
        """x * borrow rate(U) * U * (1 - reserve factor) with U = debt / (supply + x)."""
        size = self.supply + x
        if x == 0 or self.debt == 0:
            return 0, 1
        kept = BPS - self.reserve_factor_bps
        if self.debt * RAY <= self.optimal_ray * size:
            rate = self.base_ray * self.optimal_ray * size + self.slope1_ray * self.debt * RAY
            return x * self.debt * kept * rate, BPS * self.optimal_ray * size * size
        room = RAY - self.optimal_ray
        rate = (self.base_ray + self.slope1_ray) * room * size
        rate += self.slope2_ray * (self.debt * RAY - self.optimal_ray * size)
        return x * self.debt * kept * rate, BPS * room * size * size

    def ranges(self, hi: int) -> tuple[Range, ...]:
        if self.debt == 0:
            return (Range(0, hi, Shape.CONCAVE),)
        kink = -(-self.debt * RAY // self.optimal_ray) - self.supply
        parts: list[Range] = []
        if kink > 0:
            parts += self._bends(0, min(hi, kink - 1), above=True)
        if kink <= hi:
            parts += self._bends(max(0, kink), hi, above=False)
        return tuple(parts)

    def _bends(self, lo: int, hi: int, *, above: bool) -> list[Range]:
        """Split lo..hi at the inflection of a1*x/S + a2*x/S^2, whose f'' has the sign of k*x - m.

        a1 and a2 are taken times RAY-sized common factors: only signs and the ratio m/k matter.
        """
        if above:
            room = RAY - self.optimal_ray
            a1 = (self.base_ray + self.slope1_ray) * room - self.slope2_ray * self.optimal_ray
            a2 = self.slope2_ray * RAY * self.debt
        else:
            a1 = self.base_ray * self.optimal_ray
            a2 = self.slope1_ray * RAY * self.debt
        k = 2 * (a2 - a1 * self.supply)
        m = 2 * self.supply * (a1 * self.supply + 2 * a2)
        if k == 0:
            return [Range(lo, hi, Shape.CONCAVE if m >= 0 else Shape.CONVEX)]
        first, second = (Shape.CONCAVE, Shape.CONVEX) if k > 0 else (Shape.CONVEX, Shape.CONCAVE)
        turn = m // k if k > 0 else -(-m // k) - 1
        if turn >= hi:
            return [Range(lo, hi, first)]
        if turn < lo:
            return [Range(lo, hi, second)]
        return [Range(lo, turn, first), Range(turn + 1, hi, second)]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "kinked",
            "supply": str(self.supply),
            "debt": str(self.debt),
            "base_ray": str(self.base_ray),
            "slope1_ray": str(self.slope1_ray),
            "slope2_ray": str(self.slope2_ray),
            "optimal_ray": str(self.optimal_ray),
            "reserve_factor_bps": str(self.reserve_factor_bps),
        }


def _split(lo: int, hi: int, cuts: list[int], shape: Shape) -> tuple[Range, ...]:
    parts = []
    for cut in cuts:
        parts.append(Range(lo, cut, shape))
        lo = cut + 1
    return (*parts, Range(lo, hi, shape))


def from_json(body: Mapping[str, Any]) -> Curve:
    """Inverse of `to_json`, so that anybody can solve a stored plan again."""
    kind = body["kind"]
    if kind == "flat":
        return Flat(int(body["rate_ray"]))
    if kind == "fixed_pot":
        return FixedPot(int(body["pot_ray"]), int(body["supply"]))
    if kind == "tiered":
        tiers = tuple((int(bound), int(rate)) for bound, rate in body["tiers"])
        return Tiered(tiers, int(body["rest_ray"]))
    if kind == "whole_tiered":
        tiers = tuple((int(bound), int(rate)) for bound, rate in body["tiers"])
        return WholeTiered(tiers, int(body["rest_ray"]))
    if kind == "kinked":
        return Kinked(**{k: int(v) for k, v in body.items() if k != "kind"})
    raise ValueError(f"unknown curve kind {kind}")


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
        return _split(0, hi, cuts, Shape.CONCAVE)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "whole_tiered",
            "tiers": [[str(bound), str(rate)] for bound, rate in self.tiers],
            "rest_ray": str(self.rest_ray),
        }

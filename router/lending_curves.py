"""Curves of venues whose borrowers pay by utilisation: one lending pool, and a vault over several.

They have a kink: above it the rate falls steeply with every unit we add, below it slowly, so the
marginal income jumps up where our deposit pushes the pool below its kink.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from router import bends
from router.curves import BPS, RAY, Range, Rational, Shape, Term, split
from router.tiers import WAD

PARTS = 8
"""In how many parts each side of a kink of a vault's market is read by the search."""


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

    def __post_init__(self) -> None:
        if self.supply < 0 or self.debt < 0:
            raise ValueError("supply, debt: must not be below zero")
        if not 0 < self.optimal_ray <= RAY:
            raise ValueError("optimal_ray: must be above 0, and 1 at most")

    def income(self, x: int) -> Rational:
        """x * borrow rate(U) * U * (1 - reserve factor) with U = debt / (supply + x)."""
        size = self.supply + x
        if x == 0 or self.debt == 0:
            return 0, 1
        kept = BPS - self.reserve_factor_bps  # `_rate` written out: searches ask nothing so often
        if size * self.optimal_ray >= self.debt * RAY or self.optimal_ray == RAY:  # x >= kink
            rate = self.base_ray * self.optimal_ray * size + self.slope1_ray * self.debt * RAY
            return x * self.debt * kept * rate, BPS * self.optimal_ray * size * size
        room = RAY - self.optimal_ray
        rate = (self.base_ray + self.slope1_ray) * room * size
        rate += self.slope2_ray * (self.debt * RAY - self.optimal_ray * size)
        return x * self.debt * kept * rate, BPS * room * size * size

    def _rate(self, *, above: bool) -> tuple[int, int, int]:
        """The borrow rate on one side of the kink, above it or not: (linear + constant / size) /
        over, with the pool's `size`."""
        if above:
            over = RAY - self.optimal_ray
            linear = (self.base_ray + self.slope1_ray) * over - self.slope2_ray * self.optimal_ray
            return linear, self.slope2_ray * RAY * self.debt, over
        return self.base_ray * self.optimal_ray, self.slope1_ray * RAY * self.debt, self.optimal_ray

    def ranges(self, hi: int) -> tuple[Range, ...]:
        if self.debt == 0:
            return (Range(0, hi, Shape.CONCAVE),)
        kink = self.kink
        parts: list[Range] = []
        if kink > 0:
            parts += self._bends(0, min(hi, kink - 1), above=True)
        if kink <= hi:
            parts += self._bends(max(0, kink), hi, above=False)
        return tuple(parts)

    @property
    def kink(self) -> int:
        """The least deposit that brings utilisation to the optimum; 0 or less if it is there, or if
        the optimum is all of it: then there is no second slope."""
        if self.optimal_ray == RAY:
            return -self.supply
        return -(-self.debt * RAY // self.optimal_ray) - self.supply

    def polynomials(
        self, y: bends.Poly, size: bends.Poly, at: int
    ) -> tuple[bends.Poly, bends.Poly]:
        """Numerator and denominator of the income of a deposit `y` in a pool of `size`, both
        polynomials of something; on the side of the kink on which a deposit of `at` is."""
        kept = (BPS - self.reserve_factor_bps) * self.debt
        linear, constant, over = self._rate(above=at < self.kink)
        rate = bends.add(bends.mul((kept * linear,), size), (kept * constant,))
        return bends.mul(y, rate), bends.mul((BPS * over,), bends.mul(size, size))

    def terms(self) -> tuple[Term, ...]:
        kink = self.kink
        below = self._term(None, above=False)
        return (below,) if kink <= 0 else (self._term(kink - 1, above=True), below)

    def _term(self, hi: int | None, *, above: bool) -> Term:
        linear, constant, over = self._rate(above=above)
        paid, parts = self.debt * (BPS - self.reserve_factor_bps), BPS * over
        return Term(hi, b=(paid * linear, parts), c=(paid * constant, parts), supply=self.supply)

    def _bends(self, lo: int, hi: int, *, above: bool) -> list[Range]:
        """Split lo..hi at the inflection of a1*x/S + a2*x/S^2, whose f'' has the sign of k*x - m.

        a1 and a2 are the borrow rate's: of what they lack only signs and the ratio m/k matter.
        """
        a1, a2, _ = self._rate(above=above)
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


@dataclass(frozen=True, slots=True)
class Slot:
    """From a deposit of `lo` on, what we add goes to `market`, which then has x + `offset` of the
    vault's; its other markets earn `rest_ray` a year. `market.supply` is without the vault."""

    lo: int
    offset: int
    rest_ray: int
    market: Kinked


@dataclass(frozen=True, slots=True)
class Queued:
    """A vault that lends deposits out by a queue of markets (MetaMorpho), shared by its holders.

    `others` is what all other holders have, `keep_wad` what the vault's fee leaves of a yield.
    Our part is x / (others + x) of what its markets earn with us. `slots` ascend from lo 0.
    """

    others: int
    keep_wad: int
    slots: tuple[Slot, ...]

    def income(self, x: int) -> Rational:
        slot = self.slots[bisect_right(self.slots, x, key=lambda s: s.lo) - 1]
        numerator, denominator = slot.market.income(x + slot.offset)
        numerator += slot.rest_ray * denominator
        return x * self.keep_wad * numerator, WAD * max(self.others + x, 1) * denominator

    def ranges(self, hi: int) -> tuple[Range, ...]:
        ends = [*(s.lo - 1 for s in self.slots[1:]), hi]
        parts: list[Range] = []
        for slot, end in zip(self.slots, ends, strict=True):
            lo, kink, end = slot.lo, slot.market.kink - slot.offset, min(end, hi)
            cuts = [at for at in (0, kink - 1) if lo <= at < end]  # at 0 a denominator may be 0
            for part in split(lo, end, cuts, Shape.CONCAVE) if lo <= end else ():
                parts += self._bends(slot, part.lo, part.hi)
        return tuple(parts)

    def _bends(self, slot: Slot, lo: int, hi: int) -> Iterator[Range]:
        if lo == hi:
            yield Range(lo, hi, Shape.CONCAVE)
            return
        y, size = (slot.offset, 1), (slot.market.supply + slot.offset, 1)
        earned, over = slot.market.polynomials(y, size, lo + slot.offset)
        total = bends.add(bends.mul((slot.rest_ray,), over), earned)
        ratio = bends.mul((0, 1), total), bends.mul((self.others, 1), over)
        for first, last, sign in bends.signs(bends.bend(*ratio), lo, hi):
            yield Range(first, last, Shape.CONVEX if sign > 0 else Shape.CONCAVE)

    def terms(self) -> tuple[Term, ...]:
        """Not exact: k + ax + bx/S through three incomes of each of some parts. It is a search that
        reads terms, and the parts are short enough for it."""
        far = 64 * (self.others + sum(s.market.supply for s in self.slots) + 1)
        ends = [*(s.lo - 1 for s in self.slots[1:]), self.slots[-1].lo + far]
        found: list[Term] = []
        for slot, end in zip(self.slots, ends, strict=True):
            kink = min(max(slot.market.kink - slot.offset, slot.lo), end)
            for lo, hi in ((slot.lo, kink - 1), (kink, end)):
                found += self._through(lo, hi) if lo <= hi else ()
        return (*found[:-1], found[-1]._replace(hi=None))

    def _through(self, lo: int, hi: int) -> Iterator[Term]:
        s, parts = max(self.others, 1), PARTS if hi - lo > PARTS**2 else 1
        cuts = [lo + (hi - lo) * k * k // parts**2 for k in range(parts + 1)]
        for x0, x2 in pairwise(cuts):
            xs = (x0, (x0 + x2) // 2, x2)
            y0, y1, y2 = (Fraction(*self.income(x)) for x in xs)
            size0, size1, size2 = (s + x for x in xs)
            rise = (y2 - y0) / max(x2 - x0, 1)
            b = Fraction(0)
            if x0 < xs[1] < x2:
                b = ((y1 - y0) / (xs[1] - x0) - rise) / (x2 - xs[1]) * size0 * size1 * size2 / s
            a = rise - b * s / (size0 * size2)
            k = y0 - a * x0 - b * x0 / size0
            form = {"const": k.as_integer_ratio(), "a": a.as_integer_ratio()}
            yield Term(x2, **form, b=b.as_integer_ratio(), supply=s)

    def to_json(self) -> dict[str, Any]:
        slots = [
            {
                "lo": str(s.lo),
                "offset": str(s.offset),
                "rest_ray": str(s.rest_ray),
                "market": s.market.to_json(),
            }
            for s in self.slots
        ]
        body = {"others": str(self.others), "keep_wad": str(self.keep_wad), "slots": slots}
        return {"kind": "queued", **body}

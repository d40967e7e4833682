"""What the operator takes at an accrual: management fee, spread, excess over a rate cap. Pure.

In this order, each from what the one before left:

1. Management fee: `management_bps` a year of the assets, act/365, for the seconds since the accrual
   before. The base is the least of what was there: after the accrual before, now before the yield,
   now after it. Rounded down; the fraction is carried on, so that how often a pool accrues does not
   change what it pays.
2. Spread: `spread_bps` of what lies above the hurdle line, rounded down. The line starts at the
   high-water mark of the share price and rises by the hurdle rate (simple, act/365) for as long as
   nothing was taken: a loss is made good, and the hurdle of all that time is earned, before
   anything is taken again. Yield that comes in lumps meets the same hurdle as yield that drips.
3. Excess: where the rate paid to holders is capped, what lies above the cap line. It rises by the
   cap's rate from where it was last reached: what was earned below the cap may be caught up with.

Both lines are rounded up, so each fee is rounded down.

How often a pool accrues matters to the spread only where yield is uneven. Yield in proportion to
time pays no more for being cut into pieces (each mark is the higher one). Yield that comes before
its time, or goes again, may pay more: the spread on a price that was really there is not given
back. With a steady number of shares all spreads together never exceed `spread_bps` of the highest
price before fees less the first mark, however the time is cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.curves import BPS, RAY, YEAR_S
from router.shares import SHARE_SCALE, Totals

FIRST_PRICE_RAY = RAY // SHARE_SCALE
SPREAD_BPS_MAX = 5_000
MANAGEMENT_BPS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """`hurdle_ray` and `rate_max_ray` are simple APRs, act/365; None: holders get it all."""

    spread_bps: int
    hurdle_ray: int = 0
    management_bps: int = 0
    rate_max_ray: int | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the lines start: prices in ray, Unix seconds. `management_rest` is the fraction of a
    unit that is owed on, in units of 1 / (BPS * YEAR_S)."""

    high_water_ray: int
    high_water_at: int
    cap_ray: int
    cap_at: int
    management_rest: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """Unix seconds, and `base`: the assets that were there all the time. Requires start <= end."""

    start: int
    end: int
    base: int


@dataclass(frozen=True, slots=True)
class Fees:
    """What each part takes, and what is left to the holders."""

    management: int
    spread: int
    excess: int
    totals: Totals
    marks: Marks

    @property
    def total(self) -> int:
        return self.management + self.spread + self.excess


def first_marks(at: int, totals: Totals | None = None) -> Marks:
    """Marks of a pool whose holders begin now, at the price of `totals` if it has one."""
    price = FIRST_PRICE_RAY
    if totals is not None and totals.shares:
        price = _price_ray_up(totals)
    return Marks(price, at, price, at)


def charge(terms: FeeTerms, marks: Marks, totals: Totals, period: Period) -> Fees:
    """Take the fees of one period from `totals`, which is after the yield and before any fee."""
    if totals.shares == 0:
        return Fees(0, 0, 0, totals, marks)
    management, rest = _management_down(terms, marks, totals, period)
    left = Totals(totals.assets - management, totals.shares)
    spread, moves = _spread_down(terms, marks, left, period.end)
    left = Totals(left.assets - spread, left.shares)
    excess = _excess_down(terms, marks, left, period.end)
    left = Totals(left.assets - excess, left.shares)
    price = _price_ray_up(left)
    high = (max(marks.high_water_ray, price), period.end) if moves else (
        marks.high_water_ray, marks.high_water_at
    )  # fmt: skip
    cap = (price, period.end) if excess else (marks.cap_ray, marks.cap_at)
    return Fees(management, spread, excess, left, Marks(*high, *cap, rest))


def _management_down(
    terms: FeeTerms, marks: Marks, totals: Totals, period: Period
) -> tuple[int, int]:
    base = min(period.base, totals.assets)
    owed = base * terms.management_bps * (period.end - period.start) + marks.management_rest
    fee, rest = divmod(owed, BPS * YEAR_S)
    return min(fee, totals.assets), rest


def _spread_down(terms: FeeTerms, marks: Marks, totals: Totals, at: int) -> tuple[int, bool]:
    """The spread, and whether the mark moves: not for yield of which no whole unit is taken."""
    line = line_ray_up(marks.high_water_ray, terms.hurdle_ray, at - marks.high_water_at)
    above = totals.assets * RAY - line * totals.shares
    if above <= 0:
        return 0, False
    spread = above * terms.spread_bps // (BPS * RAY)
    return spread, spread > 0 or terms.spread_bps == 0


def _excess_down(terms: FeeTerms, marks: Marks, totals: Totals, at: int) -> int:
    if terms.rate_max_ray is None:
        return 0
    line = line_ray_up(marks.cap_ray, terms.rate_max_ray, at - marks.cap_at)
    return max(totals.assets - _div_up(line * totals.shares, RAY), 0)


def line_ray_up(start_ray: int, rate_ray: int, seconds: int) -> int:
    """A price that rises by a simple rate: proportional to time. Requires seconds >= 0."""
    return start_ray + _div_up(start_ray * rate_ray * seconds, RAY * YEAR_S)


def _price_ray_up(totals: Totals) -> int:
    return _div_up(totals.assets * RAY, totals.shares)


def _div_up(a: int, b: int) -> int:
    return -(-a // b)


def to_json(terms: FeeTerms, marks: Marks, period: Period, fees: Fees) -> dict[str, Any]:
    """All that `recompute` needs, in decimal strings: what an accrual records."""
    return {
        "spread_bps": str(terms.spread_bps),
        "hurdle_ray": str(terms.hurdle_ray),
        "management_bps": str(terms.management_bps),
        "rate_max_ray": None if terms.rate_max_ray is None else str(terms.rate_max_ray),
        "start": str(period.start),
        "end": str(period.end),
        "base": str(period.base),
        "assets": str(fees.totals.assets + fees.total),
        "before": _marks_json(marks),
        "management": str(fees.management),
        "spread": str(fees.spread),
        "excess": str(fees.excess),
        "after": _marks_json(fees.marks),
    }


def recompute(record: Mapping[str, Any], totals: Totals) -> bool:
    """Whether a record of `to_json` follows from its own inputs; `totals` is after the fees, as
    the accrual says. For auditors: nothing else is needed."""
    cap = record["rate_max_ray"]
    terms = FeeTerms(
        int(record["spread_bps"]), int(record["hurdle_ray"]), int(record["management_bps"]),
        None if cap is None else int(cap),
    )  # fmt: skip
    period = Period(int(record["start"]), int(record["end"]), int(record["base"]))
    marks = _marks(record["before"])
    again = charge(terms, marks, Totals(int(record["assets"]), totals.shares), period)
    return again.totals == totals and to_json(terms, marks, period, again) == dict(record)


def _marks_json(marks: Marks) -> dict[str, str]:
    return {name: str(getattr(marks, name)) for name in Marks.__slots__}


def _marks(body: Mapping[str, str]) -> Marks:
    return Marks(**{name: int(body[name]) for name in Marks.__slots__})

"""Whether what sources say of one venue's rate may be acted on. Pure; every rule gives a reason.

A reason means no entry; exits stay allowed: a doubtful rate is never entered and always left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations

from router.curves import RAY
from router.rates.units import Quote, decimal_text

CLOCK_SKEW_S = 60
"""How far ahead of ours a source's clock may be."""


@dataclass(frozen=True, slots=True)
class RateRule:
    """`rate_max_ray` is the highest believable APR; `difference_max_ray` how far two sources of
    one rate may be apart, both in ray."""

    age_max_s: int = 3_600
    rate_max_ray: int = RAY // 2
    difference_max_ray: int = RAY // 50


def check(readings: Sequence[Quote], rule: RateRule, now: datetime) -> list[str]:
    """Why not to enter by these readings of one venue; empty if nothing speaks against it.

    In a fixed order: none at all, then by source stale, from the future, out of bounds, then
    disagreements. A negative rate is out of bounds.
    """
    if not readings:
        return ["no rate: no source has one"]
    found = [reason for quote in readings for reason in _alone(quote, rule, now)]
    pairs = combinations(readings, 2)
    return found + [reason for one, other in pairs for reason in _together(one, other, rule)]


def _alone(quote: Quote, rule: RateRule, now: datetime) -> list[str]:
    found, age = [], now - quote.as_of
    if age > timedelta(seconds=rule.age_max_s):
        found.append(
            f"stale: {quote.source} is {int(age.total_seconds())} s old, {rule.age_max_s} s is most"
        )
    if age < -timedelta(seconds=CLOCK_SKEW_S):
        found.append(f"from the future: {quote.source} is of {quote.as_of.isoformat()}")
    if not 0 <= quote.rate_ray <= rule.rate_max_ray:
        found.append(
            f"out of bounds: {quote.source} says {decimal_text(quote.rate_ray)},"
            f" believable is 0 to {decimal_text(rule.rate_max_ray)}"
        )
    return found


def _together(one: Quote, other: Quote, rule: RateRule) -> list[str]:
    if abs(one.rate_ray - other.rate_ray) <= rule.difference_max_ray:
        return []
    return [
        f"disagreeing: {one.source} says {decimal_text(one.rate_ray)},"
        f" {other.source} says {decimal_text(other.rate_ray)}"
    ]

"""Which mix of tiers fits what a holder says: horizon, need of money, tolerance of loss. Pure.

It advises and nothing else: nothing is moved and nothing is agreed to by it. Everything is measured
on past share prices, which are after all fees; what has not been is not foreseen.

- Range: the returns of all past windows as long as the horizon, at 10, 50 and 90 % of them.
- Worst: the deepest fall within any window as long as the horizon, from its highest day.
- Tiers are added up as if their good and bad times came together. That never makes a loss look
  smaller than it was.

The mix has the highest median income of all that keep within the tolerance and the need of money,
solved exactly: the rest stays on the balance, which earns and loses nothing.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import combinations

from router.curves import BPS, RAY
from router.tiers import ORDER, Tier

WINDOWS_MIN = 30
"""Fewer past windows than this say too little to advise on."""
QUANTILES = (10, 50, 90)
BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class Wish:
    """`liquidity_bps` must be to be had within `liquidity_days`; `loss_bps` is the most of it all
    that may be lost at the worst of times."""

    horizon_days: int
    liquidity_bps: int
    liquidity_days: int
    loss_bps: int


@dataclass(frozen=True, slots=True)
class History:
    """Share prices in ray, one a day without a gap, oldest first, the last one of `until`."""

    until: date
    prices_ray: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """One pool of a tier. `exit_days`: how long its money takes to come. `others`: histories of
    other pools of its tier, used where its own is short."""

    tier: Tier
    pool: str
    exit_days: int
    own: History
    others: tuple[History, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the past says of one offer, for one horizon. Returns are ray, floored; `fall_ray` >= 0
    and rounded up; `fell` is the day on which the deepest fall was at its end."""

    windows: int
    pooled: bool
    range_ray: tuple[int, int, int]
    fall_ray: int
    fell: date | None


@dataclass(frozen=True, slots=True)
class Part:
    """`share_bps` of all; `reason` says why it is no more, or why it is nothing."""

    tier: str
    pool: str | None
    share_bps: int
    reason: str
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class Advice:
    """Parts sum to 10,000 bps. `range_ray` None: nothing with enough history was advised."""

    parts: tuple[Part, ...]
    range_ray: tuple[int, int, int] | None
    fall_ray: int
    binding: tuple[str, ...]


def advise(wish: Wish, offers: Sequence[Offer]) -> Advice:
    """The same input gives the same advice. At most one offer a tier is looked at: the first."""
    first: dict[Tier, Offer] = {}
    for offer in offers:
        first.setdefault(offer.tier, offer)
    ordered = [first[tier] for tier in ORDER if tier in first]
    facts = {o.tier: facts_of(o, wish.horizon_days) for o in ordered}
    refused = {o.tier: _refusal(o, facts[o.tier], wish) for o in ordered}
    able = [o for o in ordered if not refused[o.tier]]
    weights = _solve(wish, able, facts)
    shares = {o.tier: int(weights[o.tier] * BPS) for o in able}  # the rest stays on the balance
    binding = _binding(wish, able, facts, weights)
    parts = [
        Part(
            o.tier.value, o.pool, shares.get(o.tier, 0),
            refused[o.tier] or _reason(shares[o.tier], binding), facts[o.tier],
        )
        for o in ordered
    ]  # fmt: skip
    rest = BPS - sum(p.share_bps for p in parts)
    parts.append(Part(BALANCE, None, rest, "earns nothing and loses nothing", None))
    return _advice(parts, binding)


def _advice(parts: Sequence[Part], binding: tuple[str, ...]) -> Advice:
    used = [(p.share_bps, p.facts) for p in parts if p.share_bps and p.facts is not None]
    ranges = [sum(share * f.range_ray[i] for share, f in used) // BPS for i in range(3)]
    fall = -(-sum(share * f.fall_ray for share, f in used) // BPS)
    known = (ranges[0], ranges[1], ranges[2]) if used else None
    return Advice(tuple(parts), known, fall, binding)


def facts_of(offer: Offer, horizon_days: int) -> Facts | None:
    """None: not enough history, even with that of the tier's other pools."""
    histories = [offer.own]
    if _windows(offer.own, horizon_days) < WINDOWS_MIN:
        histories += offer.others
    count = sum(_windows(h, horizon_days) for h in histories)
    if count < WINDOWS_MIN:
        return None
    returns = sorted(r for h in histories for r in returns_ray_down(h, horizon_days))
    found = tuple(returns[(count - 1) * q // 100] for q in QUANTILES)
    falls = [deepest_fall_ray_up(h, horizon_days) for h in histories]
    fall, fell = max(falls, key=lambda f: (f[0], f[1] or date.min))
    return Facts(count, len(histories) > 1, (found[0], found[1], found[2]), fall, fell)


def _windows(history: History, days: int) -> int:
    return max(len(history.prices_ray) - days, 0)


def returns_ray_down(history: History, days: int) -> list[int]:
    """What each window of so many days has brought, rounded down; after a total loss, nothing."""
    prices = history.prices_ray
    pairs = zip(prices, prices[days:], strict=False)
    return [end * RAY // start - RAY if start else -RAY for start, end in pairs]


def deepest_fall_ray_up(history: History, days: int) -> tuple[int, date | None]:
    """The most that was lost from the highest price of the `days` before, and on which day."""
    prices, deepest, at = history.prices_ray, 0, -1
    highest: deque[int] = deque()  # days of falling prices: the first is the window's highest
    for i, price in enumerate(prices):
        while highest and highest[0] < i - days:
            highest.popleft()
        while highest and prices[highest[-1]] <= price:
            highest.pop()
        highest.append(i)
        top = prices[highest[0]]
        fall = RAY - price * RAY // top if top else 0
        if fall > deepest:
            deepest, at = fall, i
    if at < 0:
        return 0, None
    return deepest, date.fromordinal(history.until.toordinal() - (len(prices) - 1 - at))


def _refusal(offer: Offer, facts: Facts | None, wish: Wish) -> str:
    if facts is None:
        return "not enough history to advise on"
    if offer.exit_days > wish.horizon_days:
        return f"its money takes {offer.exit_days} days to come: longer than the horizon"
    if facts.range_ray[1] <= 0:
        return "in half of its past it earned nothing"
    return ""


def _solve(
    wish: Wish, able: Sequence[Offer], facts: Mapping[Tier, Facts | None]
) -> dict[Tier, Fraction]:
    """The best corner of: weights >= 0, sum <= 1, falls <= tolerance, slow money <= what may be.

    A linear problem with three limits has its best value where at most three weights are not zero,
    so all corners are looked at. Ties go to the smaller fall, then to the safer tiers.
    """
    rows = [_limits(wish, o, facts) for o in able]
    bounds = (Fraction(1), Fraction(wish.loss_bps, BPS), Fraction(BPS - wish.liquidity_bps, BPS))
    best: tuple[Fraction, Fraction, tuple[Fraction, ...]] | None = None
    for size in range(min(len(able), 3) + 1):
        for chosen in combinations(range(len(able)), size):
            for tight in combinations(range(3), size):
                found = _corner([[rows[c][t] for c in chosen] for t in tight],
                                [bounds[t] for t in tight])  # fmt: skip
                if found is None or min(found, default=Fraction(0)) < 0:
                    continue
                weights = [Fraction(0)] * len(able)
                for c, w in zip(chosen, found, strict=True):
                    weights[c] = w
                if any(_used(rows, weights, t) > bounds[t] for t in range(3)):
                    continue
                key = (_income(able, facts, weights), -_used(rows, weights, 1), tuple(weights))
                best = key if best is None or key > best else best
    assert best is not None, "nothing at all is a corner"
    return {o.tier: w for o, w in zip(able, best[2], strict=True)}


def _limits(
    wish: Wish, offer: Offer, facts: Mapping[Tier, Facts | None]
) -> tuple[Fraction, Fraction, Fraction]:
    found = facts[offer.tier]
    assert found is not None
    slow = offer.exit_days > wish.liquidity_days
    return Fraction(1), Fraction(found.fall_ray, RAY), Fraction(int(slow))


def _used(rows: Sequence[Sequence[Fraction]], weights: Sequence[Fraction], limit: int) -> Fraction:
    return sum((row[limit] * w for row, w in zip(rows, weights, strict=True)), Fraction(0))


def _income(
    able: Sequence[Offer], facts: Mapping[Tier, Facts | None], weights: Sequence[Fraction]
) -> Fraction:
    found = [(facts[o.tier], w) for o, w in zip(able, weights, strict=True)]
    return sum((f.range_ray[1] * w for f, w in found if f is not None), Fraction(0))


def _corner(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """The solution of a square system, by elimination; None if it has not exactly one."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = next((r for r in range(i, n) if rows[r][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(n):
            if r != i and rows[r][i]:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[n] for row in rows]


def _binding(
    wish: Wish,
    able: Sequence[Offer],
    facts: Mapping[Tier, Facts | None],
    weights: Mapping[Tier, Fraction],
) -> tuple[str, ...]:
    """Which of the holder's own limits the mix has used up."""
    rows = [_limits(wish, o, facts) for o in able]
    shares = [weights[o.tier] for o in able]
    found = []
    if able and _used(rows, shares, 1) == Fraction(wish.loss_bps, BPS):
        found.append("loss tolerance")
    if (
        able
        and any(r[2] for r in rows)
        and (_used(rows, shares, 2) == Fraction(BPS - wish.liquidity_bps, BPS))
    ):
        found.append("need of money")
    return tuple(found)


def _reason(share_bps: int, binding: tuple[str, ...]) -> str:
    if share_bps == BPS:
        return "earns the most and fits"
    if binding:
        return ("fits as far as " if share_bps else "has no room beside others within ") + (
            " and ".join(binding)
        )
    return "earns less than the others" if not share_bps else "fits"

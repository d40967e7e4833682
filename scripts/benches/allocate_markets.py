"""Markets for `scripts/bench allocate`, drawn from a seed: the same ones in every run."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from router.curves import RAY, Curve
from router.lending_curves import Kinked
from router.pieces import Cap, Item, Option, whole
from router.stated_curves import FixedPot, Flat, Tiered

MONEY = 10**13
"""Ten million of a token with six decimals."""
BPS = RAY // 10_000
YEARLY = 365 * RAY // 30
"""A cost once in thirty days, a unit of it, as if it were paid every year."""


@dataclass(frozen=True)
class Market:
    """`money` is the first cap's room; `held` what lies at each venue now."""

    items: tuple[Item, ...]
    caps: tuple[Cap, ...]
    held: tuple[int, ...]

    @property
    def money(self) -> int:
        return self.caps[0].room


def own_caps(seed: int, count: int = 100) -> Market:
    """Every venue with a cap of its own, one budget."""
    r = random.Random(seed)
    items = tuple(_item(r, r.uniform(0.02, 0.3)) for _ in range(count))
    return Market(items, (Cap(tuple(range(count)), MONEY),), (0,) * count)


def grouped(seed: int, count: int, groups: int, each: int) -> Market:
    """The same with overlapping groups of `each` venues drawn at random."""
    r = random.Random(seed)
    market = own_caps(seed, count)
    caps = [
        Cap(tuple(sorted(r.sample(range(count), each))), int(MONEY * r.uniform(0.02, 0.2)))
        for _ in range(groups)
    ]
    return Market(market.items, (*market.caps, *caps), market.held)


def above_the_kink(seed: int, money_of_pools: float) -> Market:
    """100 lending pools, 30 of them above their kink, and money of so much of all their supply."""
    r = random.Random(seed)
    curves = [_lending(r, above=i % 10 < 3) for i in range(100)]
    money = int(sum(c.supply for c in curves) * money_of_pools)
    items = tuple(Item(c, whole(0, int(money * r.uniform(0.05, 0.3)))) for c in curves)
    return Market(items, (Cap(tuple(range(100)), money),), (0,) * 100)


def with_costs(seed: int) -> Market:
    """100 venues, a third of them held already; gas of 30 a move and a ticket of 10,000."""
    r = random.Random(seed)
    ticket, gas = 10**10, 30 * 10**6 * YEARLY
    items, held = [], []
    for i in range(100):
        hi = int(MONEY * r.uniform(0.02, 0.3))
        now = min(int(MONEY * r.uniform(0.005, 0.04)), hi) if i % 3 == 0 else 0
        found = [Option(now, now)]
        if now >= ticket:
            found.insert(0, Option(0, now - ticket, gas))
        if now + ticket <= hi:
            found.append(Option(now + ticket, hi, gas))
        items.append(Item(_curve(r), tuple(found)))
        held.append(now)
    return Market(tuple(items), (Cap(tuple(range(100)), MONEY),), tuple(held))


def _item(r: random.Random, share: float) -> Item:
    return Item(_curve(r), whole(0, int(MONEY * share)))


def _curve(r: random.Random) -> Curve:
    kinds: list[Callable[[random.Random], Curve]] = [_lending, _lending, _lending, _pot, _tiers]
    if r.random() < 0.1:
        return Flat(r.randint(200, 450) * BPS)
    return r.choice(kinds)(r)


def _lending(r: random.Random, *, above: bool = False) -> Kinked:
    """A pool of a size spread over two orders, below its kink or at 90 to 99 % of use."""
    supply = int(MONEY * r.lognormvariate(-1, 1.2))
    optimal = r.choice((80, 90, 92))
    used = r.uniform(optimal + 2, 99.5) if above else r.uniform(30, optimal - 2)
    return Kinked(
        supply=supply,
        debt=int(supply * used / 100),
        base_ray=r.choice((0, 0, 50, 100)) * BPS,
        slope1_ray=r.randint(350, 900) * BPS,
        slope2_ray=r.randint(4_000, 10_000) * BPS,
        optimal_ray=optimal * RAY // 100,
        reserve_factor_bps=r.choice((500, 1_000, 2_000)),
    )


def _pot(r: random.Random) -> FixedPot:
    supply = int(MONEY * r.lognormvariate(-2, 1))
    return FixedPot(supply * r.randint(200, 1_200) * BPS, supply)


def _tiers(r: random.Random) -> Tiered:
    first, second = sorted(int(MONEY * r.uniform(0.0001, 0.05)) for _ in range(2))
    top = r.randint(500, 1_000)
    return Tiered(((first, top * BPS), (second, (top - 150) * BPS)), r.randint(50, 300) * BPS)

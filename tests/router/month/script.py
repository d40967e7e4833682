"""A month of events, drawn from a seed: what happens on the chain, and who joins and leaves. Pure.

Demand is absolute: borrowers owe so much, whoever lends to them. So whoever brings more money to a
market lowers its rate, as it is. Only a drain takes all there is but a hundredth.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

UNIT = 10**6
DAYS = 30
DAY_H = 24
THOUSAND = 1_000 * UNIT
AAVE_SIZE = 10_000_000 * UNIT
MORPHO_SIZE = {"WETH": 5_000_000 * UNIT, "TBTC": 3_000_000 * UNIT}
DRAINED_BPS = 9_900


@dataclass(frozen=True, slots=True)
class Event:
    """`hour` is counted from the month's beginning. `kind`: debt, drain, pause, unpause, freeze,
    unfreeze, bad-debt, slash. `value` is base units for debt and bad-debt, bps for slash; `market`
    a collateral at Morpho."""

    hour: int
    kind: str
    venue: str
    value: int = 0
    market: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Joins with `amount` on a day and leaves with so many hundredths of his shares on another."""

    name: str
    amount: int
    joins: int
    leaves: int
    percent: int


@dataclass(frozen=True, slots=True)
class Script:
    """`drained` is the venue, its first hour without money and the hour it has some again."""

    seed: int
    events: tuple[Event, ...]
    holders: tuple[Holder, ...]
    drained: tuple[str, int, int]

    @property
    def hours(self) -> tuple[int, ...]:
        """When something is done: at the beginning of each day, and whenever something happens."""
        days = range(0, DAYS * DAY_H + 1, DAY_H)
        return tuple(sorted({*days, *(e.hour for e in self.events)}))

    def at(self, hour: int) -> Iterator[Event]:
        return (e for e in self.events if e.hour == hour)

    @property
    def capital(self) -> int:
        """What the pool has on average, without what it earns."""
        return sum(_days_of(h) for h in self.holders) // (100 * DAYS)


def _days_of(h: Holder) -> int:
    """Base units times days times a hundred."""
    return h.amount * (100 * (h.leaves - h.joins) + (100 - h.percent) * (DAYS - h.leaves))


def draw(seed: int) -> Script:
    """The same seed is the same month."""
    chance = random.Random(seed)
    day = _days_apart(chance)
    drained = chance.choice(("aave-usdc", "metamorpho-usdc"))
    drain, first, after = _drain(chance, drained, day["drain"])
    events = [
        *_episode(day["pause"], chance.randint(1, 3), "pause"),
        *_episode(day["freeze"], chance.randint(1, 4), "freeze"),
        *drain,
        Event(
            day["bad-debt"] * DAY_H, "bad-debt", "metamorpho-usdc",
            chance.randint(3, 20) * THOUSAND, chance.choice(tuple(MORPHO_SIZE)),
        ),
        Event(chance.randint(2, 26) * DAY_H, "slash", "staking-eth", chance.randint(5, 100)),
    ]  # fmt: skip
    events += _rates(chance, {e.hour // DAY_H for e in events} | _shut(events))
    ordered = tuple(sorted(events, key=lambda e: e.hour))
    return Script(seed, ordered, _holders(chance), (drained, first, after))


def _days_apart(chance: random.Random) -> dict[str, int]:
    """Where each episode begins: six days apart, so that one is over before the next."""
    names = ["pause", "freeze", "drain", "bad-debt"]
    chance.shuffle(names)
    return {name: 2 + 6 * i + chance.randint(0, 1) for i, name in enumerate(names)}


def _episode(day: int, long: int, kind: str) -> list[Event]:
    begin, end = day * DAY_H, (day + long) * DAY_H
    return [Event(begin, kind, "aave-usdc"), Event(end, f"un{kind}", "aave-usdc")]


def _drain(chance: random.Random, venue: str, day: int) -> tuple[list[Event], int, int]:
    """With its first hour and the hour after its last.

    At Aave borrowers pay more than half a year's sum, so it is a matter of hours; at Morpho a
    seventh, and it may take days.
    """
    first = day * DAY_H
    if venue == "aave-usdc":
        after = first + chance.randint(3, 12)
        return [Event(first, "drain", venue), _aave(chance, after)], first, after
    after = first + chance.randint(1, 3) * DAY_H
    found = []
    for market in MORPHO_SIZE:
        found += [Event(first, "drain", venue, 0, market), _morpho(chance, after, market)]
    return found, first, after


def _shut(events: list[Event]) -> set[int]:
    """Days on which a market takes no loans or repayments, or is drained."""
    shut: set[int] = set()
    for begins in events:
        if begins.kind in ("pause", "freeze", "drain"):
            shut |= set(range(begins.hour // DAY_H, begins.hour // DAY_H + 5))
    return shut


def _rates(chance: random.Random, taken: set[int]) -> list[Event]:
    """Some moves of each market, and where each begins."""
    found = [_aave(chance, 0), *(_morpho(chance, 0, market) for market in MORPHO_SIZE)]
    free = sorted(set(range(1, DAYS - 2)) - taken)
    for day in chance.sample(free, min(7, len(free))):
        venue = chance.choice(("aave", "WETH", "TBTC"))
        at = day * DAY_H
        found.append(_aave(chance, at) if venue == "aave" else _morpho(chance, at, venue))
    return found


def _aave(chance: random.Random, hour: int) -> Event:
    """From 60 % to 92 % of what others supply."""
    return Event(hour, "debt", "aave-usdc", AAVE_SIZE * chance.randint(60, 92) // 100)


def _morpho(chance: random.Random, hour: int, market: str) -> Event:
    """From 70 % to 94 % of what others supply."""
    debt = MORPHO_SIZE[market] * chance.randint(70, 94) // 100
    return Event(hour, "debt", "metamorpho-usdc", debt, market)


def _holders(chance: random.Random) -> tuple[Holder, ...]:
    def amount(low: int, high: int) -> int:
        return chance.randint(low, high) * THOUSAND + chance.randint(0, UNIT)

    return (
        Holder("ann", amount(3_000, 5_000), 0, chance.randint(18, 26), chance.randint(20, 100)),
        Holder("bob", amount(2_000, 4_000), 0, chance.randint(8, 20), chance.randint(20, 80)),
        Holder("cat", amount(1_500, 3_000), chance.randint(2, 8), DAYS, 0),
        Holder("dan", amount(1_000, 2_500), chance.randint(8, 16), chance.randint(20, 27), 50),
    )

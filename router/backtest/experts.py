"""Simple switching rules that keep their own paper accounts, and votes by what they earned. Pure.

Prediction with expert advice (the weighted majority algorithm; Cesa-Bianchi and Lugosi, Prediction,
Learning, and Games, chapter 2). An expert smooths every venue's growth in its own way and moves to
where the gap would earn the costs back within its own number of days. Which smoothing and which
patience fit a market is thereby learnt from that market's past, costs included. All in integers.
"""

from collections.abc import Sequence

from router.backtest.defaults import Parameters
from router.backtest.panel import Row, Venue
from router.backtest.rules import Costs, Frozen, Rules
from router.curves import RAY
from router.tiers import WAD

_HALVINGS_MAX = 60
"""2^-60 of a vote is none."""


class Smoothed:
    """A running mean of every venue's growth, in ray; a plain mean until it is old enough."""

    def __init__(self, weight_permille: int, venues: int) -> None:
        self._weight = weight_permille
        self._seen = [0] * venues
        self.growth: list[int | None] = [None] * venues

    def observe(self, row: Row) -> None:
        for i, cell in enumerate(row):
            if cell is None:
                continue
            self._seen[i] += 1
            mean = self.growth[i]
            if mean is None:
                self.growth[i] = cell.growth_ray
                continue
            weight = max(self._weight, 1000 // self._seen[i])
            self.growth[i] = mean + (cell.growth_ray - mean) * weight // 1000


class Expert:
    """One rule, where it lies, and what it has earned after costs, in ray of its amount."""

    __slots__ = ("earned", "payback_days", "place", "smoothed")

    def __init__(self, smoothed: Smoothed, payback_days: int) -> None:
        self.smoothed = smoothed
        self.payback_days = payback_days
        self.place: int | None = None
        self.earned = 0

    def decide(self, open_: Sequence[int], costs: Sequence[Sequence[int]]) -> None:
        """Move to the best of the open venues if it is worth it. `costs` are ray, from and to."""
        growth = self.smoothed.growth
        if self.place is None:
            self.place = max(open_, key=lambda i: growth[i] or 0, default=None)
            return
        here, cost = self.place, costs[self.place]
        best, best_value = here, (growth[here] or 0) * self.payback_days
        for i in open_:
            value = (growth[i] or 0) * self.payback_days - cost[i]
            if i != here and value > best_value:
                best, best_value = i, value
        self.earned -= cost[best]
        self.place = best


class Experts:
    """All of them over one panel's venues, for one amount."""

    def __init__(
        self, venues: Sequence[Venue], amount: int, costs: Costs, rules: Rules, p: Parameters
    ) -> None:
        self._rules, self._amount, self._p = rules, amount, p
        self._costs = _costs_ray(venues, amount, costs)
        self._frozen = Frozen(len(venues))
        self._smoothed = [Smoothed(w, len(venues)) for w in p.smoothing_permille]
        self._experts = [Expert(s, days) for s in self._smoothed for days in p.payback_days]

    def observe(self, row: Row) -> None:
        """A day is over: everybody's account grows, and everybody decides again."""
        for expert in self._experts:
            cell = None if expert.place is None else row[expert.place]
            if cell is not None:
                expert.earned += cell.growth_ray
        self._frozen.observe(row)
        for smoothed in self._smoothed:
            smoothed.observe(row)
        open_ = self.open_at(row, self._amount)
        for expert in self._experts:
            expert.decide(open_, self._costs)

    def open_at(self, row: Row, position: int) -> list[int]:
        """The venues that may hold `position` after an entry now, by the newest row."""
        return [i for i, _ in enumerate(row) if self.enterable(row, i, position)]

    def enterable(self, row: Row, i: int, position: int) -> bool:
        alive = self._frozen.days(i) < self._rules.frozen_days
        return alive and self._rules.enterable(row[i], position)

    def votes(self) -> "Votes":
        """What each venue has of the votes, and the means that the voters believe in."""
        best = max(e.earned for e in self._experts)
        weights = [_weight(best - e.earned, self._p.halving_ray) for e in self._experts]
        total = sum(weights)
        venues = len(self._costs)
        shares, growth = [0] * venues, [0] * venues
        for expert, weight in zip(self._experts, weights, strict=True):
            if expert.place is not None:
                shares[expert.place] += weight
            for i, mean in enumerate(expert.smoothed.growth):
                growth[i] += weight * (mean or 0)
        days = sum(w * e.payback_days for w, e in zip(weights, self._experts, strict=True))
        return Votes(
            [x * WAD // total for x in shares], [x // total for x in growth], max(days // total, 1)
        )


class Votes:
    """`shares` in WAD and `growth` in ray a day, by venue; `days` is the voters' patience."""

    __slots__ = ("days", "growth", "shares")

    def __init__(self, shares: list[int], growth: list[int], days: int) -> None:
        self.shares, self.growth, self.days = shares, growth, days


def _weight(behind_ray: int, halving_ray: int) -> int:
    """WAD halved once for every `halving_ray`, linear in between: exact on every machine."""
    halvings, rest = divmod(behind_ray, halving_ray)
    if halvings >= _HALVINGS_MAX:
        return 0
    return (WAD * (2 * halving_ray - rest) // (2 * halving_ray)) >> halvings


def _costs_ray(venues: Sequence[Venue], amount: int, costs: Costs) -> list[list[int]]:
    """What a move from and to costs, in ray of the amount; staying costs nothing."""
    return [
        [0 if a == b else costs.of(amount, 2, a.token != b.token) * RAY // amount for b in venues]
        for a in venues
    ]

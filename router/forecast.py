"""How much may leave a pool within some days: a quantile of outflow, corrected by its own record.

Shares are WAD of the assets at the start of a window, signed: an outflow is positive. Pure and in
integers, rounded up, so that anyone who has the flows can recompute every forecast and its state.

1. Own history: the empirical quantile of all windows that have ended, interpolated between order
   statistics (Hyndman and Fan, "Sample quantiles in statistical packages", 1996, type 7).
2. Others: the same quantile of the other pools' windows together. A quantile of 99 % needs a
   hundred observations. Own ones count first, others' fill what is missing, and a prior the rest;
   the three quantiles are averaged by these counts. A young pool so leans on its elders and leaves
   them behind with time, and a pool with no history at all has the prior.
3. Correction: the level asked for moves against its own breaches (Gibbs and Candes, "Adaptive
   conformal inference under distribution shift", NeurIPS 2021, equation 2, with their step of
   0.005). Windows of h days overlap and breach together, so each moves it by one h-th of a step.
   Beyond the largest outflow known their set is everything; here the largest is stretched by the
   level's excess, until it is everything. Alpha, what is left to breach, never rises above twice
   the aim: years without a breach must not be spent on the day on which many come at once.
   Whatever the flows, breaches <= aim * windows + horizon * (aim - alpha) / step (`State`).
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from router.tiers import WAD


@dataclass(frozen=True, slots=True)
class Rule:
    """What is forecast and how; `prior_wad` is the outflow to expect where nothing is known.

    Requires 0 < quantile_wad < WAD. `judged_from` is the number of own windows from which on
    forecasts are held against what came: earlier ones are mostly not the pool's own.
    """

    horizon_days: int
    prior_wad: int
    quantile_wad: int = WAD - WAD // 100
    step_wad: int = WAD // 200
    observations: int = 100
    judged_from: int = 30

    def __post_init__(self) -> None:
        if self.horizon_days < 1 or self.observations < 1:
            raise ValueError("horizon_days and observations must be at least 1")
        if not 0 < self.quantile_wad < WAD or not 0 <= self.prior_wad <= WAD:
            raise ValueError("quantile_wad must be between 0 and WAD, prior_wad from 0 to WAD")

    @property
    def aim_wad(self) -> int:
        """The share of windows that may breach."""
        return WAD - self.quantile_wad


ONE_DAY, SEVEN_DAYS = Rule(1, WAD // 10), Rule(7, WAD // 5)
"""The priors are the largest outflow of six big Yearn vaults in January and February of 2022
(10.4 % in a day, 20.0 % in a week), in round numbers."""


@dataclass(frozen=True, slots=True)
class State:
    """The record of a pool's forecasts for one horizon. `alpha_wad` is the share of breaches that
    is asked for next; below zero, more is asked for than was ever seen.

    Always: alpha_wad <= aim + step * (aim * judged - breaches * WAD) / horizon / WAD.
    """

    alpha_wad: int
    judged: int = 0
    breaches: int = 0

    def to_json(self) -> dict[str, str]:
        return {
            "alpha": str(self.alpha_wad),
            "judged": str(self.judged),
            "breaches": str(self.breaches),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "State":
        return cls(int(body["alpha"]), int(body["judged"]), int(body["breaches"]))


@dataclass(frozen=True, slots=True)
class Day:
    """`assets` at its start, and what came in less what left during it, in base units."""

    assets: int
    net_flow: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Made at the start of `day` (an index) for the window that begins with it, by `state`.

    `own` and `others` count the windows that had ended by then.
    """

    day: int
    share_wad: int
    state: State
    own: int
    others: int


def start(rule: Rule) -> State:
    return State(rule.aim_wad)


def forecast(own: Sequence[Day], others: Sequence[Sequence[Day]], rule: Rule) -> Forecast:
    """The forecast for the day after the last one that is known."""
    *_, last = walk(own, others, rule)
    return last


def walk(own: Sequence[Day], others: Sequence[Sequence[Day]], rule: Rule) -> Iterator[Forecast]:
    """The forecast of each day and of the one after the last, by what had ended before it.

    Requires the same days in every history; a day on which a pool had no assets begins no window.
    """
    mine: list[int] = []
    pooled: list[int] = []
    made: list[Forecast] = []
    state = start(rule)
    for day in range(len(own) + 1):
        began = day - rule.horizon_days
        if began >= 0:
            ended = outflow_share_up(own, began, rule.horizon_days)
            if ended is not None:
                if made[began].own >= rule.judged_from:
                    state = judge(state, made[began].share_wad, ended, rule)
                insort(mine, ended)
            for history in others:
                share = outflow_share_up(history, began, rule.horizon_days)
                if share is not None:
                    insort(pooled, share)
        found = quantile_up(mine, pooled, WAD - state.alpha_wad, rule)
        made.append(Forecast(day, found, state, len(mine), len(pooled)))
        yield made[-1]


def outflow_share_up(days: Sequence[Day], first: int, horizon_days: int) -> int | None:
    """What left from day `first` on, of the assets at its start; at most all. None if there were
    none, or if the window has not ended."""
    if first + horizon_days > len(days) or days[first].assets <= 0:
        return None
    left = -sum(day.net_flow for day in days[first : first + horizon_days])
    return min(_ratio_up(left * WAD, days[first].assets), WAD)


def judge(state: State, share_wad: int, came_wad: int, rule: Rule) -> State:
    """The state after a window in which `came_wad` left, where `share_wad` had been forecast."""
    breach = came_wad > share_wad
    error = rule.aim_wad - (WAD if breach else 0)
    moved = state.alpha_wad + rule.step_wad * error // (WAD * rule.horizon_days)
    return State(min(moved, 2 * rule.aim_wad), state.judged + 1, state.breaches + breach)


def quantile_up(own: Sequence[int], others: Sequence[int], level_wad: int, rule: Rule) -> int:
    """The outflow share at a level that may be above WAD. Requires both to be sorted."""
    level = min(max(level_wad, 0), WAD)
    mine = min(len(own), rule.observations)
    lent = min(len(others), rule.observations - mine)
    total = (rule.observations - mine - lent) * rule.prior_wad
    if mine:
        total += mine * interpolated_up(own, level)
    if lent:
        total += lent * interpolated_up(others, level)
    known = max(_ratio_up(total, rule.observations), 0)
    beyond = max(level_wad - WAD, 0)
    return min(known + _ratio_up(known * beyond, rule.aim_wad), WAD)


def interpolated_up(values: Sequence[int], level_wad: int) -> int:
    """Type 7. Requires sorted values, at least one, and 0 <= level_wad <= WAD."""
    place, rest = divmod((len(values) - 1) * level_wad, WAD)
    if rest == 0:
        return values[place]
    return values[place] + _ratio_up((values[place + 1] - values[place]) * rest, WAD)


def buffer_up(known_outflows: int, assets: int, share_wad: int) -> int:
    """What has to be at hand, in base units: what is known to leave and what may, at most all.

    Requires amounts and share that are not negative.
    """
    return max(known_outflows, min(known_outflows + _ratio_up(assets * share_wad, WAD), assets))


def _ratio_up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)

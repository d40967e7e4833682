"""One panel, one amount: the strategy, everything it is held against, and the bound. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.backtest.baselines import THRESHOLDS_BPS, ByTvl, Threshold, Weighted, has_tvl
from router.backtest.foresight import best_wealth
from router.backtest.panel import Panel
from router.backtest.policy import Policy
from router.backtest.routed import Routed
from router.backtest.simulate import Outcome, Strategy, apy_pct, run

START_TOKEN = "USDC"
"""The coin in which the money comes, where the panel has it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`others` by name, the best single venue among them; `foresight` is wealth after each day."""

    panel: Panel
    amount: int
    ours: Outcome
    others: Mapping[str, Outcome]
    best_single: str
    foresight: tuple[int, ...]

    @property
    def foresight_apy_pct(self) -> float:
        return apy_pct(self.amount, self.foresight[-1], len(self.foresight))

    @property
    def capture(self) -> float:
        """What we earned of what perfect foresight earned, both net of costs. Only shown."""
        return (self.ours.wealth[-1] - self.amount) / max(self.foresight[-1] - self.amount, 1)

    @property
    def capture_over_single(self) -> float:
        """The same, both less what the best single venue of hindsight earned."""
        single = self.others[self.best_single].wealth[-1]
        return (self.ours.wealth[-1] - single) / max(self.foresight[-1] - single, 1)


def compare(panel: Panel, amount: int, policy: Policy) -> Comparison:
    """`amount` is micro-USD. Everybody starts with it as money that waits in the start coin."""
    token = start_token(panel)

    def go(make: Callable[[], Strategy]) -> Outcome:
        return run(panel, make, amount, policy.costs, token)

    singles = {f"single {v.label}": go(lambda v=v: Weighted([(v, 1)])) for v in panel.venues}  # type: ignore[misc]
    best_single = max(singles, key=lambda name: (singles[name].wealth[-1], name))
    others = {"best single in hindsight": singles[best_single]}
    others["equal weight"] = go(lambda: Weighted([(v, 1) for v in panel.venues]))
    if has_tvl(panel):
        others["TVL-weighted"] = go(lambda: ByTvl(panel.venues))
    others["greedy daily"] = go(lambda: Threshold(panel.venues, 0))
    for bps in THRESHOLDS_BPS:
        others[f"threshold {bps} bp"] = go(lambda bps=bps: Threshold(panel.venues, bps))  # type: ignore[misc]
    return Comparison(
        panel=panel,
        amount=amount,
        ours=go(lambda: Routed(panel.venues, amount, policy.costs, policy.rules)),
        others=others | singles,
        best_single="best single in hindsight",
        foresight=best_wealth(panel, amount, policy.costs, policy.rules, token),
    )


def start_token(panel: Panel) -> str:
    tokens = sorted({v.token for v in panel.venues})
    return START_TOKEN if START_TOKEN in tokens else tokens[0]

"""How well the outflow of six vaults was forecast, and by whom better.

Walk-forward on days 60 to 122: each forecast knows only windows that had ended when it was made.
The vaults are those with a net flow on every one of the first 60 days, the warm-up: six of the
seven that held more than 50 million dollars then. The seventh, yvCurve-FRAX, stood still on some of
those days, and the small ones on most: a quantile of standing still is an easy one.
Others' histories are the other five vaults'. Bars and aims are the issue's.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from router.forecast import ONE_DAY, SEVEN_DAYS, Rule, outflow_share_up, walk
from router.tiers import WAD
from scripts.benches import flows, forecast_peers
from scripts.benches.forecast_peers import QUANTILE, Peer, Vaults
from scripts.benches.form import Measure

SIX = (
    "yvCurve-stETH 0.3.0",
    "yvDAI 0.4.3",
    "yvUSDC 0.3.0",
    "yvUSDC 0.4.3",
    "yvUSDT 0.3.5",
    "yvWETH 0.4.2",
)
WARM_UP = 60


@dataclass(frozen=True)
class Bar:
    """Of one horizon: the breach rate in percent, and the pinball loss in bp of the assets."""

    rule: Rule
    breaches_most: float
    loss_most: float
    loss_aim: float
    breaches_least: float = 0.5


BARS = (Bar(ONE_DAY, 2.0, 9.0, 8.45), Bar(SEVEN_DAYS, 2.5, 16.5, 14.6))


@dataclass(frozen=True)
class Score:
    windows: int
    breaches: int
    loss_bp: float

    @property
    def rate(self) -> float:
        """Percent."""
        return round(100 * self.breaches / self.windows, 2)


def measure() -> list[Measure]:
    every = flows.vaults()
    six = {vault: every[vault] for vault in SIX}
    rows = []
    for bar in BARS:
        rows += _ours(bar, six)
        rows += _peers(bar, six)
    return rows


def _ours(bar: Bar, six: Vaults) -> list[Measure]:
    days = _days(bar.rule.horizon_days)
    found = score(ours(six, bar.rule), six, bar.rule.horizon_days)
    of = f"of {found.windows} windows"
    aim = f"aim {bar.loss_aim}: {'met' if found.loss_bp <= bar.loss_aim else 'missed'}"
    return [
        Measure(f"{days}, breaches, most", found.rate, "%", of, bar.breaches_most, at_most=True),
        Measure(f"{days}, breaches, least", found.rate, "%", of, bar.breaches_least),
        Measure(f"{days}, pinball loss", found.loss_bp, "bp", aim, bar.loss_most, at_most=True),
    ]


def _peers(bar: Bar, six: Vaults) -> list[Measure]:
    horizon, rows = bar.rule.horizon_days, []
    peers: list[tuple[str, Callable[[Vaults, int], Peer]]] = [
        ("own quantile alone", forecast_peers.own_quantile),
        ("normal distribution", forecast_peers.normal),
    ]
    if forecast_peers.has_models():
        peers += [
            ("scikit-learn, linear", forecast_peers.linear),
            ("scikit-learn, boosted", forecast_peers.boosted),
        ]
    else:
        print(
            f"{_days(horizon)}: scikit-learn is not installed, two peers skipped", file=sys.stderr
        )
    for name, peer in peers:
        found = score(peer(six, horizon), six, horizon)
        rows.append(Measure(f"{_days(horizon)}, breaches", found.rate, "%", name))
        rows.append(Measure(f"{_days(horizon)}, pinball loss", found.loss_bp, "bp", name))
    return rows


def _days(horizon: int) -> str:
    return "1 day" if horizon == 1 else f"{horizon} days"


def ours(vaults: Vaults, rule: Rule) -> Peer:
    """Each vault with the others of `vaults` as its elders."""
    made = {
        vault: [
            step.share_wad
            for step in walk(days, [d for v, d in vaults.items() if v != vault], rule)
        ]
        for vault, days in vaults.items()
    }
    return lambda vault, day: float(made[vault][day])


def score(peer: Peer, vaults: Vaults, horizon: int, first: int = WARM_UP) -> Score:
    """Every window that begins on day `first` or later; shares of the assets at its start."""
    losses, breaches = [], 0
    for vault, days in vaults.items():
        for day in range(first, len(days) - horizon + 1):
            came = outflow_share_up(days, day, horizon)
            if came is None:
                continue
            said = peer(vault, day)
            losses.append(pinball(said, came) / WAD * 10_000)
            breaches += came > said
    return Score(len(losses), breaches, round(fmean(losses), 2))


def pinball(said: float, came: float) -> float:
    """Koenker and Bassett, "Regression quantiles", 1978."""
    return QUANTILE * (came - said) if came > said else (1 - QUANTILE) * (said - came)

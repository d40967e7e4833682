"""What the forecast is measured against; each sees only windows that had ended.

A peer answers the outflow share (WAD) for one vault and the window that begins with `day`.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import NormalDist, fmean, pstdev
from typing import Any

from router.forecast import Day, interpolated_up, outflow_share_up
from router.tiers import WAD

QUANTILE = 0.99
Vaults = Mapping[str, Sequence[Day]]
Peer = Callable[[str, int], float]


def shares(days: Sequence[Day], horizon: int, until: int) -> dict[int, int]:
    """Outflow by the day on which a window began, of those that ended before `until`."""
    found = {i: outflow_share_up(days, i, horizon) for i in range(until - horizon + 1)}
    return {i: share for i, share in found.items() if share is not None}


def own_quantile(vaults: Vaults, horizon: int) -> Peer:
    """The expanding empirical quantile of the vault alone."""

    def predict(vault: str, day: int) -> float:
        known = sorted(shares(vaults[vault], horizon, day).values())
        return float(interpolated_up(known, WAD - WAD // 100))

    return predict


def normal(vaults: Vaults, horizon: int) -> Peer:
    """Mean and deviation, and the quantile of a normal distribution."""
    z = NormalDist().inv_cdf(QUANTILE)

    def predict(vault: str, day: int) -> float:
        known = list(shares(vaults[vault], horizon, day).values())
        return fmean(known) + z * pstdev(known)

    return predict


def has_models() -> bool:
    return importlib.util.find_spec("sklearn") is not None


def linear(vaults: Vaults, horizon: int) -> Peer:
    """scikit-learn's linear quantile regression, without a penalty."""
    module = importlib.import_module("sklearn.linear_model")
    return _fitted(
        vaults,
        horizon,
        lambda: module.QuantileRegressor(quantile=QUANTILE, alpha=0, solver="highs"),
    )


def boosted(vaults: Vaults, horizon: int) -> Peer:
    """scikit-learn's gradient boosting of the quantile loss, as it comes."""
    module = importlib.import_module("sklearn.ensemble")
    return _fitted(
        vaults,
        horizon,
        lambda: module.GradientBoostingRegressor(loss="quantile", alpha=QUANTILE, random_state=1),
    )


def _fitted(vaults: Vaults, horizon: int, model: Callable[[], Any]) -> Peer:
    """One model a day for all vaults, on shares in bp."""
    daily = {v: shares(days, 1, len(days)) for v, days in vaults.items()}
    names = sorted(vaults)

    def features(vault: str, day: int) -> list[float]:
        recent = [daily[vault].get(i, 0) / WAD * 1e4 for i in range(day - 7, day)]
        steps = [abs(b - a) for a, b in pairwise(recent)]
        which = [float(vault == name) for name in names[1:]]
        return [recent[-1], fmean(recent), fmean(map(abs, recent)), max(recent), max(steps), *which]

    @cache
    def trained(day: int) -> Any:
        rows = [
            (features(vault, i), share / WAD * 1e4)
            for vault in names
            for i, share in shares(vaults[vault], horizon, day).items()
            if i > 7
        ]
        return model().fit([x for x, _ in rows], [y for _, y in rows])

    def predict(vault: str, day: int) -> float:
        return float(trained(day).predict([features(vault, day)])[0]) / 1e4 * WAD

    return predict

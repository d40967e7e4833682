"""Where and how often the log is anchored, and what that may cost. Pure; amounts in wei.

In the installation's file, all of it with defaults:

    "log": {"anchor_chain_id": 1, "anchors": {
        "chains": [1, 10], "quorum": 1, "interval_s": 600, "deadline_s": 3600,
        "gas": {"1": {"anchor_max_wei": "...", "period_max_wei": "...", "period_s": 86400}}}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custody.core.errors import InvalidInput

INTERVAL_S, DEADLINE_S = 600, 3600
FEE_MARGIN = 2
"""The fee may double between the quote and the signing."""


@dataclass(frozen=True, slots=True)
class GasBudget:
    """What one anchor may cost at most, and all anchors of a chain within a period, in wei."""

    anchor_max_wei: int = 10**16
    period_max_wei: int = 2 * 10**17
    period_s: int = 86_400

    def bound_wei(self, quote_wei: int, gas_limit: int) -> int:
        """The most that an intent may pay at today's `quote_wei` per gas."""
        return min(FEE_MARGIN * gas_limit * quote_wei, self.anchor_max_wei)

    def objection(self, quote_wei: int, gas_limit: int, spent_wei: int) -> str | None:
        """Why nothing is anchored now, in words; None if the budget has room.

        `spent_wei` is what anchors of the period have paid, or may yet pay where they are open.
        """
        cost = gas_limit * quote_wei
        if cost > self.anchor_max_wei:
            return f"gas: an anchor may cost {cost} wei today, {self.anchor_max_wei} are allowed"
        if spent_wei + self.bound_wei(quote_wei, gas_limit) > self.period_max_wei:
            return (
                f"gas: {spent_wei} of {self.period_max_wei} wei are spent within {self.period_s} s"
            )
        return None


@dataclass(frozen=True, slots=True)
class AnchorRules:
    """The log goes to every chain of `chains`; what was signed before an interval begins has to be
    final on `quorum` of them `deadline_s` later. An interval is also the least pause."""

    chains: tuple[int, ...]
    quorum: int = 1
    interval_s: int = INTERVAL_S
    deadline_s: int = DEADLINE_S
    gas: Mapping[int, GasBudget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(len(set(self.chains)) == len(self.chains) > 0, "chains", "must name chains, once")
        within = 1 <= self.quorum <= len(self.chains)
        _require(within, "quorum", f"must be from 1 to {len(self.chains)}, the chains there are")
        _require(self.interval_s > 0, "interval_s", "must be above 0")
        _require(self.deadline_s >= self.interval_s, "deadline_s", "must be at least interval_s")
        for chain_id, b in self.gas.items():
            _require(chain_id in self.chains, f"gas.{chain_id}", "must be one of the chains")
            good = 0 < b.anchor_max_wei <= b.period_max_wei and b.period_s > 0
            _require(good, f"gas.{chain_id}", "must allow one anchor within a period above 0")

    def budget(self, chain_id: int) -> GasBudget:
        return self.gas.get(chain_id, GasBudget())


def from_installation(log: Mapping[str, Any]) -> AnchorRules:
    """Of the installation's `log`. Raises InvalidInput naming the field."""
    body = log.get("anchors", {})
    gas = {
        int(chain): GasBudget(
            int(row["anchor_max_wei"]), int(row["period_max_wei"]), int(row["period_s"])
        )
        for chain, row in body.get("gas", {}).items()
    }
    return AnchorRules(
        tuple(int(c) for c in body.get("chains", [log["anchor_chain_id"]])),
        int(body.get("quorum", 1)),
        int(body.get("interval_s", INTERVAL_S)),
        int(body.get("deadline_s", DEADLINE_S)),
        gas,
    )


def _require(good: bool, name: str, rule: str) -> None:
    if not good:
        raise InvalidInput(f"log.anchors.{name}", rule)

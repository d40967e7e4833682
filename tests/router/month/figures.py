"""What a month earned, as yearly rates in hundredths of a percent on the average money. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.router.month.script import DAYS, UNIT, Script

GWEI = 10**9
GAS_PRICE_WEI, ETHER_USD = 5 * GWEI, 3_000
"""What the router's gas is counted at. The chain's own price is nothing: it has no other users."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Base units of USDC on `script.capital`. `net` is the holders': after the operator's share of
    a tenth. `gas` is the router's; the others, who act on the chain themselves, pay none."""

    script: Script
    net: int
    gross: int
    gas: int
    sent: int
    alone: Mapping[str, int]
    greedy: int

    @property
    def gas_cost(self) -> int:
        return self.gas * GAS_PRICE_WEI * ETHER_USD * UNIT // 10**18

    def to_json(self) -> dict[str, Any]:
        def bps(amount: int) -> float:
            return round(amount * 10_000 * 365 / (DAYS * self.script.capital), 1)

        return {
            "seed": self.script.seed,
            "drained": self.script.drained[0],
            "ours": {
                "to holders": bps(self.net - self.gas_cost),
                "of the pool": bps(self.gross - self.gas_cost),
            },
            "theirs": {
                **{venue: bps(x) for venue, x in self.alone.items()},
                "greedy": bps(self.greedy),
            },
            "sent": self.sent,
            "gas": bps(self.gas_cost),
        }


def lines(months: Sequence[Mapping[str, Any]]) -> list[str]:
    """For the summary of a run: by how much ours was better, worst and median."""
    found = []
    for ours in ("to holders", "of the pool"):
        have = [m["ours"][ours] for m in months]
        found.append(f"{ours}: worst {min(have):.0f}, median {median(have):.0f} bps a year")
        for other in months[0]["theirs"]:
            better = {m["seed"]: m["ours"][ours] - m["theirs"][other] for m in months}
            worst = min(better, key=lambda seed: better[seed])
            below = sum(x <= 0 for x in better.values())
            found.append(
                f"  above {other:16} worst {better[worst]:+6.0f} (seed {worst}), median"
                f" {median(better.values()):+6.0f}; not above in {below} of {len(months)}"
            )
    most = max(m["sent"] for m in months)
    found.append(f"gas: at most {max(m['gas'] for m in months):.1f} bps, {most} transactions")
    return found

"""What a month earned, as yearly rates in hundredths of a percent on the average money. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from tests.router.month.script import DAYS, UNIT, Script

GWEI = 10**9
GAS_PRICE_WEI, ETHER_USD = 5 * GWEI, 3_000
"""What the router's gas is counted at. The chain's own price is nothing: it has no other users."""

BELOW_MAX_BPS = 25


@dataclass(frozen=True, slots=True)
class Figures:
    """Base units of USDC on `script.capital`. `net` is the holders': after the operator's share of
    a tenth. `gross` is before it, and after losses, which are `lost`. `gas` is the router's; the
    others, who act on the chain themselves, pay none."""

    script: Script
    net: int
    gross: int
    lost: int
    gas: int
    sent: int
    alone: Mapping[str, int]
    greedy: int

    @property
    def gas_cost(self) -> int:
        return self.gas * GAS_PRICE_WEI * ETHER_USD * UNIT // 10**18

    def bps(self, amount: int) -> float:
        return round(amount * 10_000 * 365 / (DAYS * self.script.capital), 1)

    def to_json(self) -> dict[str, Any]:
        bps = self.bps
        return {
            "seed": self.script.seed,
            "drained": self.script.drained[0],
            "ours": {
                "to holders": bps(self.net - self.gas_cost),
                "of the pool": bps(self.gross - self.gas_cost),
                "of the pool, without its losses": bps(self.gross - self.gas_cost + self.lost),
            },
            "theirs": {
                **{venue: bps(x) for venue, x in self.alone.items()},
                "greedy": bps(self.greedy),
            },
            "sent": self.sent,
            "gas": bps(self.gas_cost),
        }


def assert_worth_it(month: Mapping[str, Any]) -> None:
    """What holds in every month, before the operator's share and after gas.

    More than a venue picked by chance; and, but for losses, no less than any of them by much. More
    than the best of them is not promised: a debt that goes bad was foreseen by nobody, and who is
    caught in a drained market with all he has is paid most of its spike.
    """
    ours, theirs = month["ours"], month["theirs"]
    alone = [rate for other, rate in theirs.items() if other != "greedy"]
    assert ours["of the pool"] > mean(alone), month
    assert ours["of the pool, without its losses"] > max(theirs.values()) - BELOW_MAX_BPS, month


def lines(months: Sequence[Mapping[str, Any]]) -> list[str]:
    """For the summary of a run: by how much ours was better, worst and median."""
    found = []
    for ours in months[0]["ours"]:
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

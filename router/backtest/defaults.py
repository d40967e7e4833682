"""The one configuration of the backtest's strategy, and how it was chosen.

Chosen on voltz's indices (2021-22 and 2023), Yearn's share prices (2022), panels made of shifted
pieces of voltz's Aave series, and synthetic rates; frozen in a commit before LoanScan's rates were
looked at for the first time. On those panels the result is flat around these values: halving after
7 to 35 bp, a lead of 0 to 0.3, a third of the experts or slower ones besides change the mean net
yield by less than 0.1 percentage points (`python -m scripts.backtests.choose`). So nothing here is
fine-tuned, and nothing here may be tuned on LoanScan.
"""

from dataclasses import dataclass

from router.curves import RAY
from router.tiers import WAD


@dataclass(frozen=True, slots=True)
class Parameters:
    """`smoothing_permille` are the weights of the newest day in a running mean, and
    `payback_days` how long a gap is trusted to last: an expert is one of each.

    An expert's say halves for every `halving_ray` of yield that it is behind the best one. Money
    moves when a venue's share of the votes leads that of where it lies by more than `lead_wad`.
    """

    smoothing_permille: tuple[int, ...] = (1000, 700, 500, 350, 250, 170, 120, 85, 60, 42, 30)
    payback_days: tuple[int, ...] = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
    halving_ray: int = RAY * 14 // 10_000
    lead_wad: int = WAD * 15 // 100


FROZEN = Parameters()

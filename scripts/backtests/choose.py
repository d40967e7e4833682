"""`python -m scripts.backtests.choose`: how router/backtest/defaults.py came to its parameters.

Net yields at 100,000 and at 1,000,000 USD on every panel of the choice, for the frozen parameters
and around them. LoanScan is not among the panels and must not be: its rates judge, they don't tune.
The choice itself also had voltz's borrow indices in the panel of 2023, and one of spot rates.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from statistics import mean

from api.commands.backtest import read_panel
from router.backtest.defaults import FROZEN, Parameters
from router.backtest.panel import MICRO, Cell, Panel, Venue, build
from router.backtest.routed import Routed
from router.backtest.rules import Costs, Rules
from router.backtest.simulate import run
from router.curves import RAY
from router.tiers import WAD
from scripts.backtests.run import RATES

TOKENS = ("DAI", "USDC", "USDT", "DAI", "USDC", "USDT", "DAI")
AMOUNTS_USD = (100_000, 1_000_000)
FIRST = date(2021, 1, 1)
BP = RAY // 10_000

AROUND: Mapping[str, Parameters] = {
    "frozen": FROZEN,
    "halving after 7 bp": replace(FROZEN, halving_ray=7 * BP),
    "halving after 35 bp": replace(FROZEN, halving_ray=35 * BP),
    "no lead": replace(FROZEN, lead_wad=0),
    "lead 0.3": replace(FROZEN, lead_wad=WAD * 3 // 10),
    "a third of the experts": replace(
        FROZEN,
        smoothing_permille=(1000, 500, 250, 120, 60, 30),
        payback_days=(2, 4, 8, 16, 32, 64),
    ),
    "slower experts, too": replace(
        FROZEN,
        smoothing_permille=(*FROZEN.smoothing_permille, 21, 15, 10),
        payback_days=(*FROZEN.payback_days, 90, 128),
    ),
}


def panels() -> list[Panel]:
    real = [read_panel(name, RATES) for name in ("voltz-2021", "voltz-2023", "yearn-2022")]
    aave = [row[0].growth_ray for row in real[0].rows if row[0] is not None]
    shifts = [
        shifted("seven shifts", aave, (100,) * 7, 0),
        shifted("five shifts", aave, (100, 80, 120, 60, 90), 17),
        shifted("seven scaled shifts", aave, (100, 60, 85, 110, 130, 70, 95), 31),
    ]
    return [*real, *shifts, *(synthetic(seed) for seed in range(3))]


def shifted(name: str, growth: Sequence[int], scales: Sequence[int], offset: int) -> Panel:
    """Venues that live through the same series, each from another day on, at so many percent."""
    days, venues = len(growth), len(scales)
    return build(
        name,
        {
            (FIRST + timedelta(days=t), Venue(f"v{k}", TOKENS[k])): Cell(
                growth[(t + k * days // venues + offset) % days] * scale // 100
            )
            for k, scale in enumerate(scales)
            for t in range(days)
        },
    )


def synthetic(seed: int, days: int = 800) -> Panel:
    """Seven venues whose log rates have a common part, a slow and a fast one that revert, noise,
    and squeezes that die within days. The sizes are guesses of the right order, fitted to nothing.
    """
    rng = random.Random(seed)
    cells: dict[tuple[date, Venue], Cell] = {}
    common, fast, squeeze = 0.0, [0.0] * 7, [0.0] * 7
    slow = [rng.gauss(0, 0.4) for _ in TOKENS]
    for t in range(days):
        common = common * 0.99 + rng.gauss(0, 0.08)
        for k, token in enumerate(TOKENS):
            slow[k] = slow[k] * 0.983 + rng.gauss(0, 0.45 * math.sqrt(1 - 0.983**2))
            fast[k] = fast[k] * 0.84 + rng.gauss(0, 0.5 * math.sqrt(1 - 0.84**2))
            squeeze[k] *= rng.choice([0.3, 0.6, 0.8])
            if rng.random() < 0.012:
                squeeze[k] = max(squeeze[k], rng.expovariate(1 / 0.9) + 0.5)
            noise = rng.gauss(0, 0.12 if k % 2 else 0.03)
            log_rate = common + slow[k] + fast[k] * (1 if k < 4 else 0.4) + noise + squeeze[k]
            growth = math.log1p(min(0.03 * math.exp(log_rate), 2.0)) / 365
            cells[FIRST + timedelta(days=t), Venue(f"v{k}", token)] = Cell(int(growth * RAY))
    return build(f"synthetic {seed}", cells)


def net_apy_pct(panel: Panel, usd: int, parameters: Parameters) -> float:
    amount, costs, rules = usd * MICRO, Costs(), Rules()

    def make() -> Routed:
        return Routed(panel.venues, amount, costs, rules, parameters)

    return run(panel, make, amount, costs, "USDC").apy_pct


def main() -> None:
    chosen_on = panels()
    print("net APY in %, mean of", ", ".join(panel.name for panel in chosen_on))
    for name, parameters in AROUND.items():
        means = [mean(net_apy_pct(p, usd, parameters) for p in chosen_on) for usd in AMOUNTS_USD]
        shown = "  ".join(f"{usd:,}: {x:.3f}" for usd, x in zip(AMOUNTS_USD, means, strict=True))
        print(f"{name:<24} {shown}", flush=True)


if __name__ == "__main__":
    main()

"""A comparison as measures, in the one form of all benches (DESIGN.md, section 9). Pure.

Floats appear here, and only here and in what is drawn: to be shown. Every decision and every
amount before is an integer, and nothing of a backtest ever becomes a posting.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from router.backtest.compare import Comparison
from router.backtest.panel import MICRO
from router.tiers import WAD

BARS_PCT: Mapping[tuple[str, int], float] = {
    ("loanscan-7", 100_000): 5.61,
    ("loanscan-7", 1_000_000): 6.09,
}
"""Net yield a year that must be exceeded, by panel and amount in USD, with the default policy."""
AIMS_PCT: Mapping[tuple[str, int], float] = {("loanscan-7", 1_000_000): 6.30}
"""What is wanted beyond the bar; only shown."""


def measures(comparison: Comparison, *, with_bars: bool, told: str = "") -> list[dict[str, Any]]:
    """Ours first, then whom it is held against. Rates are net effective yield a year; `told` is
    said before each name."""
    usd = comparison.amount // MICRO
    tag = f"{told}{usd:,} USD"
    ours = comparison.ours
    key = comparison.panel.name, usd
    bar = BARS_PCT.get(key) if with_bars else None
    aim = f"aim {AIMS_PCT[key]:.2f}" if bar and key in AIMS_PCT else None
    rows = [
        _measure(f"{tag}: net APY", ours.apy_pct, "%", aim, bar),
        _measure(f"{tag}: moves", ours.moves, "moves"),
        _measure(f"{tag}: costs", ours.cost / MICRO, "USD"),
        _measure(f"{tag}: capture ratio", comparison.capture, "ratio", "perfect foresight"),
        _measure(
            f"{tag}: capture ratio over the best single venue",
            comparison.capture_over_single,
            "ratio",
            "perfect foresight",
        ),
        _measure(
            f"{tag}: worst venue exposure", 100 * ours.exposure_wad / WAD, "%", ours.worst_venue
        ),
    ]
    others = {name: o.apy_pct for name, o in comparison.others.items()}
    if "TVL-weighted" not in others:
        rows.append(_measure(f"{tag}: net APY, TVL-weighted", None, "%", "no tvl_usd in the panel"))
    others["perfect foresight with costs"] = comparison.foresight_apy_pct
    rows += [_measure(f"{tag}: net APY, {name}", apy, "%") for name, apy in others.items()]
    return rows


def missed(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["ok"] is False for row in rows)


def _measure(
    name: str, value: float | None, unit: str, peer: str | None = None, bar: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "value": None if value is None else round(value, 4),
        "unit": unit,
        "peer": peer,
        "bar": bar,
        "at_most": False,
        "ok": None if bar is None or value is None else value > bar,
    }

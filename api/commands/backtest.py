"""`moorage backtest`: how the router's strategy would have done on past rates, after costs.

A panel is a CSV, or one of the named ones, which are read from the data's folder. No database, no
chain, no keys.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custody.core.errors import InvalidInput
from router.backtest import chart, compare, csv_panel, index_panel, policy, report
from router.backtest.panel import MICRO, Panel, growth_from_apr_down, growth_from_apy_down

AMOUNTS_USD = (100_000, 1_000_000)
AMOUNT_USD_MIN = 1_000
LOANSCAN = "loanscan_2020_2022/long_daily.csv"
INDEX = "voltz_index/long_index.csv"
YEARN = "yearn_2022/share_price_2h.csv"
NAMED = ("loanscan-7", "voltz-2021", "voltz-2023", "yearn-2022")
SIMPLE, EFFECTIVE = "simple", "effective"
READINGS: Mapping[str, Callable[[int], int]] = {
    SIMPLE: growth_from_apr_down,
    EFFECTIVE: growth_from_apy_down,
}
"""What a rate of a CSV may be; indices and share prices need no reading."""


def readings_of(name: str) -> Sequence[str]:
    """The first one's figures have the bars.

    LoanScan called its rates APY and does not say how they were made. Where the chain's own index
    can be compared, Aave paid more than either reading, and the simple one errs less: both are
    shown. In any other CSV a rate is what its column's name says.
    """
    return (SIMPLE, EFFECTIVE) if name == "loanscan-7" else (EFFECTIVE,)


def read_panel(name: str, data: Path, reading: str = EFFECTIVE) -> Panel:
    """Raises InvalidInput where there is no such panel or a row of it is bad."""
    growth = READINGS[reading]
    match name:
        case "loanscan-7":
            text = _text(data / LOANSCAN)
            return csv_panel.parse(name, text, csv_panel.LOANSCAN_7, growth)
        case "voltz-2021":
            return index_panel.voltz(name, _text(data / INDEX), index_panel.VOLTZ_2021)
        case "voltz-2023":
            return index_panel.voltz(name, _text(data / INDEX), index_panel.VOLTZ_2023)
        case "yearn-2022":
            return index_panel.yearn(name, _text(data / YEARN))
        case _:
            return csv_panel.parse(Path(name).stem, _text(Path(name)), growth=growth)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        rule = f"must be a readable CSV or one of: {', '.join(NAMED)}"
        raise InvalidInput("panel", rule, str(path)) from None


def read_policy(path: Path | None) -> policy.Policy:
    if path is None:
        return policy.Policy()
    try:
        return policy.parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise InvalidInput("policy", "must be a readable JSON file", str(path)) from None


def run(
    name: str,
    data: Path,
    policy_file: Path | None = None,
    amounts_usd: Sequence[int] = AMOUNTS_USD,
    chart_file: Path | None = None,
    readings: Sequence[str] = (),
) -> dict[str, Any]:
    """The report, in the form of all benches: by each reading of the panel's rates (its own ones if
    none are asked for). The chart is of the first amount and reading, bars are of the first reading
    and the default policy."""
    for usd in amounts_usd:
        if usd < AMOUNT_USD_MIN:
            raise InvalidInput("amount", f"must be at least {AMOUNT_USD_MIN} USD")
    chosen, own = read_policy(policy_file), readings_of(name)
    panels = {reading: read_panel(name, data, reading) for reading in readings or own}
    rows: list[dict[str, Any]] = []
    for reading, panel in panels.items():
        policy.check_venues(chosen, panel)
        found = [compare.compare(panel, usd * MICRO, chosen) for usd in amounts_usd]
        if chart_file is not None and not rows:
            chart_file.write_text(chart.draw(found[0]), encoding="utf-8")
        with_bars = chosen == policy.Policy() and reading == own[0]
        told = f"{reading} rates, " if len(panels) > 1 else ""
        for one in found:
            rows += report.measures(one, with_bars=with_bars, told=told)
    return {"bench": f"backtest {next(iter(panels.values())).name}", "measures": rows}


def as_text(shown: dict[str, Any]) -> str:
    lines = [shown["bench"]]
    for row in shown["measures"]:
        value = "n/a" if row["value"] is None else f"{row['value']:,.4f}"
        bar = (
            "" if row["bar"] is None else f"  above {row['bar']}: {'ok' if row['ok'] else 'MISSED'}"
        )
        peer = f"  ({row['peer']})" if row["peer"] else ""
        lines.append(f"{row['name']:<62} {value:>14} {row['unit']}{peer}{bar}")
    return "\n".join(lines)

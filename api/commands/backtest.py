"""`moorage backtest`: how the router's strategy would have done on past rates, after costs.

A panel is a CSV, or one of the named ones, which are read from the data's folder. No database, no
chain, no keys.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from custody.core.errors import InvalidInput
from router.backtest import chart, compare, csv_panel, index_panel, policy, report
from router.backtest.panel import MICRO, Panel

AMOUNTS_USD = (100_000, 1_000_000)
AMOUNT_USD_MIN = 1_000
_INDEX = "voltz_index/long_index.csv"
Reader = Callable[[str, str], Panel]
NAMED: dict[str, tuple[str, Reader]] = {
    "loanscan-7": (
        "loanscan_2020_2022/long_daily.csv",
        lambda name, text: csv_panel.parse(name, text, csv_panel.LOANSCAN_7),
    ),
    "voltz-2021": (
        _INDEX,
        lambda name, text: index_panel.voltz(name, text, index_panel.VOLTZ_2021),
    ),
    "voltz-2023": (
        _INDEX,
        lambda name, text: index_panel.voltz(name, text, index_panel.VOLTZ_2023),
    ),
    "yearn-2022": ("yearn_2022/share_price_2h.csv", index_panel.yearn),
}


def read_panel(name: str, data: Path) -> Panel:
    """Raises InvalidInput where there is no such panel or a row of it is bad."""
    file, parse = NAMED.get(name, ("", csv_panel.parse))
    path = data / file if file else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(NAMED)
        raise InvalidInput(
            "panel", f"must be a readable CSV or one of: {known}", str(path)
        ) from None
    return parse(name if file else path.stem, text)


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
) -> dict[str, Any]:
    """The report, in the form of all benches. The chart is of the first amount."""
    for usd in amounts_usd:
        if usd < AMOUNT_USD_MIN:
            raise InvalidInput("amount", f"must be at least {AMOUNT_USD_MIN} USD")
    panel, chosen = read_panel(name, data), read_policy(policy_file)
    policy.check_venues(chosen, panel)
    found = [compare.compare(panel, usd * MICRO, chosen) for usd in amounts_usd]
    if chart_file is not None:
        chart_file.write_text(chart.draw(found[0]), encoding="utf-8")
    with_bars = chosen == policy.Policy()
    rows = [row for one in found for row in report.measures(one, with_bars=with_bars)]
    return {"bench": f"backtest {panel.name}", "measures": rows}


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

"""What entered and left Yearn's vaults from January to May 2022, as days for the forecast.

The data is research material that is not part of the project: MOORAGE_RATES names its folder.
"""

import csv
import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from router.forecast import Day

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("MOORAGE_RATES", ROOT.parent / "shared" / "rates"))
FILE = FOLDER / "yearn_2022" / "daily_net_flows.csv"
SCALE = 10**10
"""Base units a token: the file has up to ten digits."""


def vaults() -> dict[str, tuple[Day, ...]]:
    """Every vault's days. Day 0 begins no window: the file does not say what was there before it.

    Raises SystemExit where the file is not there.
    """
    if not FILE.is_file():
        raise SystemExit(f"no flows at {FILE}: MOORAGE_RATES names the folder of rates")
    rows = defaultdict(list)
    with FILE.open(newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["vault"]].append(
                (_units(row["net_flow_token"]), _units(row["total_assets_token"]))
            )
    return {vault: _days(found) for vault, found in rows.items()}


def _days(rows: list[tuple[int, int]]) -> tuple[Day, ...]:
    """From (net flow of a day, assets at its end)."""
    starts = [0, *(assets for _, assets in rows)]
    return tuple(Day(assets, flow) for assets, (flow, _) in zip(starts, rows, strict=False))


def _units(text: str) -> int:
    """No entry: the vault was not there yet."""
    return int(Decimal(text or 0) * SCALE)

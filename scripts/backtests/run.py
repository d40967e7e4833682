"""`scripts/backtest PANEL [--policy P] [--json]`: `moorage backtest` in the form of the benches."""

import argparse
import json
import os
import sys
from pathlib import Path

from api.commands import backtest
from custody.core.errors import InvalidInput
from router.backtest import report
from scripts.benches.run import machine, show

RATES = Path(os.environ.get("MOORAGE_RATES", Path(__file__).resolve().parents[3] / "shared/rates"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/backtest")
    parser.add_argument("panel", help=f"a CSV, or one of: {', '.join(backtest.NAMED)}")
    parser.add_argument("--policy", type=Path, help="limits of the run, moorage.backtest/1")
    parser.add_argument("--data", type=Path, default=RATES, help="folder of the named panels")
    parser.add_argument("--amount", type=int, action="append", metavar="USD")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="of the first amount")
    parser.add_argument(
        "--rates", choices=backtest.READINGS, action="append", help="what the rates of a CSV are"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    amounts = given.amount or backtest.AMOUNTS_USD
    try:
        found = backtest.run(
            given.panel,
            given.data,
            given.policy,
            amounts,
            given.chart,
            given.rates or (),
        )
    except InvalidInput as error:
        print(f"{error.code}: {error.detail}", file=sys.stderr)
        return 2
    shown = {"bench": found["bench"], "machine": machine(), "measures": found["measures"]}
    if given.json:
        print(json.dumps(shown))
    else:
        show(shown)
    return int(report.missed(found["measures"]))


if __name__ == "__main__":
    sys.exit(main())

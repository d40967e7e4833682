"""`scripts/bench NAME [--json]`: one form for every bench."""

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NOT_BENCHES = {
    "__init__",
    "run",
    "form",
    "verify_log",
    "load",
    "servers",
    "books",
    "posters",
    "peers",
    "bulk",
    "signing_world",
    "allocate_markets",
    "allocate_peers",
    "scan_chain",
    "scan_node",
    "flows",
    "forecast_peers",
    "audit_peer",
    "audit_service",
    "audit_tree",
    "pymerkle_driver",
    "solvency_books",
    "solvency_tree",
}


def names() -> list[str]:
    here = Path(__file__).resolve().parent
    return sorted(p.stem for p in here.glob("*.py") if p.stem not in NOT_BENCHES)


def machine() -> dict[str, Any]:
    """What the numbers were measured on; no host name."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"bench {report['bench']}")
    for column in ("measure", "value", "unit", "peer", "bar", "ok"):
        table.add_column(column)
    for m in report["measures"]:
        bar = m["bar"] if m["bar"] is None or not m["at_most"] else f"<= {m['bar']}"
        cells = (m["name"], m["value"], m["unit"], m["peer"], bar, m["ok"])
        table.add_row(*("" if c is None else str(c) for c in cells))
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("name", choices=names())
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--soak", type=int, metavar="SECONDS", help="where the bench has one, for so long"
    )
    arguments = parser.parse_args()
    bench = importlib.import_module(f"scripts.benches.{arguments.name}")
    measures = bench.measure() if arguments.soak is None else bench.soak(arguments.soak)
    report = {
        "bench": arguments.name,
        "machine": machine(),
        "measures": [m.to_json() for m in measures],
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0 if all(m.ok is not False for m in measures) else 1


if __name__ == "__main__":
    sys.exit(main())

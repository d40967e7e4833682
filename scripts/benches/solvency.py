"""What one epoch of liabilities costs: a million users with four assets each, on one core.

First the tree alone, over balances that are there (`solvency_tree.py`); then all of it out of real
tables, from the worker's snapshot to stored leaves (`solvency_books.py`).

The bar on the tree is on CPU time of all threads, which is the time on one core that nothing else
uses; what the clock showed is beside it.
"""

import json
import subprocess
import sys
import time
from typing import Any

from custody.core import embedded
from scripts.benches import solvency_books
from scripts.benches.form import Measure
from scripts.benches.ledger import say, served

USERS, ASSETS = 1_000_000, 4
BAR_S, BAR_MIB = 10, 800
"""The issue's."""
BAR_STALL_MS = 100
"""Of CPU, for the machine is shared: a page of leaves takes some twenty."""


def measure() -> list[Measure]:
    command = [sys.executable, "-m", "scripts.benches.solvency_tree", str(USERS), str(ASSETS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    name = f"{USERS} users x {ASSETS} assets"
    return [
        Measure(name, found["cpu_s"], "s CPU", None, BAR_S, at_most=True),
        Measure(f"{name}, peak memory", found["peak_mib"], "MiB", None, BAR_MIB, at_most=True),
        Measure("of it salts and ids", found["ids_s"], "s CPU"),
        Measure("by the clock", found["wall_s"], "s"),
        Measure("leaves and nodes", found["nodes"], "hashes"),
        Measure("own proof, read and checked", found["proof_ms"], "ms CPU"),
        *served(_from_tables),
    ]


async def _from_tables(postgres: embedded.EmbeddedPostgres, _folder: str) -> list[Measure]:
    begin = time.perf_counter()
    tenant = await solvency_books.fill(postgres, USERS, ASSETS)
    say(f"{USERS} customers filled in {time.perf_counter() - begin:.0f} s")
    return told(await solvency_books.measure(postgres, tenant))


def told(found: dict[str, Any]) -> list[Measure]:
    """The bar on memory is on worker and tree's process together."""
    name, together = "out of PostgreSQL", round(found["worker_mib"] + found["tree_mib"], 1)
    return [
        Measure(f"{name}, worker and tree's process, peaks", together, "MiB", None, BAR_MIB, True),
        Measure(f"{name}, worker, peak", found["worker_mib"], "MiB"),
        Measure(f"{name}, tree's process, peak", found["tree_mib"], "MiB"),
        Measure(f"{name}, worker", found["worker_s"], "s CPU"),
        Measure(f"{name}, tree's process", found["tree_s"], "s CPU"),
        Measure(f"{name}, PostgreSQL", found["postgres_s"], "s CPU"),
        Measure(f"{name}, PostgreSQL, largest process", found["postgres_mib"], "MiB"),
        Measure(f"{name}, until all is read", found["read_s"], "s"),
        Measure(f"{name}, until all is stored", found["wall_s"], "s"),
        Measure(
            f"{name}, longest stall of the loop",
            found["stall_cpu_ms"],
            "ms CPU",
            None,
            BAR_STALL_MS,
            at_most=True,
        ),
        Measure(f"{name}, the same by the clock", found["stall_ms"], "ms"),
    ]

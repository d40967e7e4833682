"""What one epoch of liabilities costs: a million users with four assets each, on one core.

A process of its own, so that its memory is only this. It makes salts and ids, pads, sorts, hashes
the tree and lays out the chunks that are stored; then a hundred own proofs are read from chunks and
checked as a holder does. The balances are there before: reading them is the database's time.

The bar is on CPU time of all threads, which is the time on one core that nothing else uses; what
the clock showed is beside it.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

from custody.assurance.solvency import layout, paths, tree
from custody.assurance.solvency.layout import Node
from scripts.benches.form import Measure

USERS, ASSETS, PROOFS = 1_000_000, 4, 100
BAR_S, BAR_MIB = 10, 800
"""The issue's."""


def measure() -> list[Measure]:
    command = [sys.executable, "-m", "scripts.benches.solvency", str(USERS), str(ASSETS)]
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
    ]


def run(users: int, assets: int) -> dict[str, Any]:
    """One epoch in this process. Raises RuntimeError where the totals or a proof are wrong."""
    rng = np.random.default_rng(7)
    customers, secret, context = rng.bytes(16 * users), rng.bytes(32), rng.bytes(32)
    sums = rng.integers(0, 2**62, size=(users, assets, 2), dtype=np.uint64)
    sums[..., 0] >>= np.uint64(24)
    begin, cpu = time.perf_counter(), time.process_time()
    ids = tree.leaf_ids(secret, context, customers)
    cpu_ids = time.process_time()
    made = tree.build(secret, context, tree.Leaves(ids, sums))
    end, cpu_end = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if made.root.sums != _exact(sums):
        raise RuntimeError("the root's sums are not the users'")
    return {
        "wall_s": round(end - begin, 2),
        "cpu_s": round(cpu_end - cpu, 2),
        "ids_s": round(cpu_ids - cpu, 2),
        "peak_mib": round(peak / 1024, 1),
        "nodes": 2 * len(made.records) - 1,
        "proof_ms": _proof_ms(made, ids, assets),
    }


def _exact(sums: tree.Words) -> tuple[int, ...]:
    """The totals in Python's own integers."""
    high, low = sums[..., 0].astype(object), sums[..., 1].astype(object)
    return tuple(int(h) * 2**64 + int(x) for h, x in zip(high.sum(0), low.sum(0), strict=True))


def _proof_ms(made: tree.Tree, ids: tree.Bytes, assets: int) -> float:
    """Median of some own proofs, from stored chunk to checked root."""
    roots, took = made.chunks.tobytes(), []
    first = [
        made.records[i, : layout.HASH_BYTES].tobytes()
        for i in range(0, len(made.records), tree.CHUNK)
    ]
    for id_ in (row.tobytes() for row in ids[:: len(ids) // PROOFS][:PROOFS]):
        begin = time.process_time()
        number = max(i for i, low in enumerate(first) if low <= id_)
        chunk = made.records[number * tree.CHUNK : (number + 1) * tree.CHUNK].tobytes()
        found = paths.path(id_, number, chunk, roots, assets)
        if found is None or _root(id_, found) != made.root:
            raise RuntimeError("an own proof does not lead to the root")
        took.append(time.process_time() - begin)
    return round(sorted(took)[len(took) // 2] * 1_000, 2)


def _root(id_: bytes, found: paths.Path) -> Node:
    return paths.root(found.index, layout.leaf(id_, found.balances), found.siblings)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))

"""The tree alone: salts and ids, padding, order, hashes, and the chunks that are stored.

A process of its own, so that its memory is only this. Then a hundred own proofs are read from
chunks and checked as a holder does.
"""

import json
import resource
import sys
import time
from typing import Any

import numpy as np

from custody.assurance.solvency import layout, paths, tree
from custody.assurance.solvency.layout import Node

PROOFS = 100


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

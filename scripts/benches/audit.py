"""The audit log against the machine's limits and against pymerkle, interleaved in one run.

Bars are the issue's. Rates in memory are by CPU time, against hashlib on the same inputs in the
same round; rates on disk are by the clock, against pymerkle on the same entries in the same folder
and round; medians of ROUNDS rounds. A percentile is the median of the rounds' percentiles.
"""

import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from custody.audit.disk import Disk
from custody.core import embedded
from custody.core.ids import new_uuid7
from scripts.benches.audit_peer import Peer, peer
from scripts.benches.audit_service import LogService, entry
from scripts.benches.audit_tree import FastDisk, Hashes, LargeTree, TileLog, batches, in_flight
from scripts.benches.form import Measure

ROUNDS = 5
LEAVES, SINGLE = 20_000, 300
SERVICE_ROUNDS, PER_S, SECONDS = 3, 1_000, 6
CALLERS = 1_000
LARGE, SMALL, PROOFS = 10_000_000, 1_000, 200
LIMIT_SHARE_MIN = 0.8
DURABLE_MIN, SINGLE_TIMES_MIN, BULK_TIMES_MIN = 50_000, 10, 1
PUBLISHED_MS_MAX, IN_PROCESS_MS_MAX, PROOF_MS_MAX, RESTART_MS_MAX = 150, 100, 1, 10

Rates = dict[str, list[float]]


def measure() -> list[Measure]:
    # Not cleared between rounds: a file system is slow where files were removed a moment ago.
    with tempfile.TemporaryDirectory(prefix="mrg-audit-") as name:
        os.chmod(name, 0o755)
        folder = Path(name)
        found = [*_tree(_rates(folder)), *_large(folder), *_service(folder)]
    # By the clock, figures are those of a machine that has nothing else to do.
    busy = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
    return [*found, Measure("load at the end, ours included", busy, "a core")]


def _entries(count: int) -> list[bytes]:
    tenant = UUID(int=1)
    return [entry(new_uuid7(), tenant, k) for k in range(count)]


def _rates(folder: Path) -> Rates:
    entries = _entries(LEAVES)
    hashes, rates = Hashes(entries), Rates()
    gc.disable()
    with peer(entries, folder) as theirs:
        for round_ in range(ROUNDS):
            for name, value in _round(folder / str(round_), hashes, theirs).items():
                rates.setdefault(name, []).append(value)
            gc.collect()
    gc.enable()
    return rates


def _round(folder: Path, hashes: Hashes, theirs: Peer) -> dict[str, float]:
    folder.mkdir()
    entries = hashes.entries
    parts = batches(entries)
    flying = TileLog(folder / "flying", Disk())
    raw, memory = hashes.raw(), hashes.ours()
    durable, durable_cpu = TileLog(folder / "durable", Disk()).per_s(parts)
    single = theirs.per_s("single", SINGLE)
    fast, _ = TileLog(folder / "fast", FastDisk()).per_s(parts)
    bulk = theirs.per_s("bulk", len(entries))
    whole, _ = TileLog(folder / "whole", FastDisk()).per_s([entries])
    return {
        "raw": raw,
        "memory": memory,
        "durable": durable,
        "durable cpu": durable_cpu,
        "single": single,
        "fast": fast,
        "bulk": bulk,
        "fast whole": whole,
        "flight ms": 1e3 * at(asyncio.run(in_flight(flying, entries, CALLERS)), 99),
    }


def at(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _tree(rates: Rates) -> list[Measure]:
    def median(name: str) -> float:
        return statistics.median(rates[name])

    def ratio(over: str, under: str) -> float:
        return round(
            statistics.median(a / b for a, b in zip(rates[over], rates[under], strict=True)), 2
        )

    flight = round(median("flight ms"), 1)
    return [
        Measure("in memory", round(median("memory")), "leaves/CPU-s"),
        Measure("hashlib alone, the same hashes", round(median("raw")), "leaves/CPU-s", "hashlib"),
        Measure("in memory / hashlib", ratio("memory", "raw"), "ratio", "hashlib", LIMIT_SHARE_MIN),
        Measure("durable, batch 1,000", round(median("durable")), "leaves/s", None, DURABLE_MIN),
        Measure("durable, batch 1,000, by CPU", round(median("durable cpu")), "leaves/CPU-s"),
        Measure("pymerkle, single appends", round(median("single")), "leaves/s", "pymerkle"),
        Measure(
            "durable / its single", ratio("durable", "single"), "ratio", "pymerkle",
            SINGLE_TIMES_MIN,
        ),
        Measure("without fsync, batch 1,000", round(median("fast")), "leaves/s"),
        Measure("without fsync, one batch", round(median("fast whole")), "leaves/s"),
        Measure("pymerkle, bulk", round(median("bulk")), "leaves/s", "pymerkle"),
        Measure(
            "without fsync / its bulk", ratio("fast whole", "bulk"), "ratio", "pymerkle",
            BULK_TIMES_MIN,
        ),
        Measure(
            "in process, 1,000 in flight, p99", flight, "ms", None, IN_PROCESS_MS_MAX, at_most=True
        ),
    ]  # fmt: skip


def _large(folder: Path) -> list[Measure]:
    large = LargeTree(folder / "large", LARGE, PROOFS)
    small = LargeTree(folder / "small", SMALL, PROOFS)
    large.times()  # once, so that files and code are warm
    times = large.times()
    names = {
        "prove": "inclusion proof at 10M",
        "verify": "verify inclusion at 10M",
        "grew": "consistency proof at 10M",
        "checked": "verify consistency at 10M",
    }
    found = []
    for key, name in names.items():
        for percent in (50, 99):
            value = round(at(times[key], percent) * 1e3, 3)
            bar = PROOF_MS_MAX if percent == 50 else None
            found.append(Measure(f"{name}, p{percent}", value, "ms", None, bar, at_most=True))
    for name, tree in (("1,000", small), ("10M", large)):
        value = round(statistics.median(tree.restart() for _ in range(21)) * 1e3, 2)
        found.append(Measure(f"restart at {name}", value, "ms", None, RESTART_MS_MAX, at_most=True))
    return found


def _service(folder: Path) -> list[Measure]:
    postgres = embedded.start(folder / "pg")
    try:
        service = LogService(postgres, folder)
        try:
            service.latencies(PER_S, 1)  # plans, caches, connections
            cpu = time.process_time()
            rounds = [service.latencies(PER_S, SECONDS) for _ in range(SERVICE_ROUNDS)]
            cpu = (time.process_time() - cpu) / (SERVICE_ROUNDS * SECONDS)
            restarts = [service.restart() for _ in range(11)]
        finally:
            service.close()
    finally:
        postgres.stop()
    p50, p99 = (
        round(statistics.median(at(waits, percent) for waits in rounds) * 1e3, 1)
        for percent in (50, 99)
    )
    restart = round(statistics.median(taken for _, taken in restarts) * 1e3, 2)
    return [
        Measure(f"commit to checkpoint at {PER_S:,}/s, p50", p50, "ms"),
        Measure("the writer's share of a core then", round(cpu, 2), "CPU-s/s"),
        Measure(
            f"commit to checkpoint at {PER_S:,}/s, p99", p99, "ms", None, PUBLISHED_MS_MAX,
            at_most=True,
        ),
        Measure(
            f"restart with its rows at {restarts[0][0]:,}", restart, "ms", None, RESTART_MS_MAX,
            at_most=True,
        ),
    ]  # fmt: skip

"""Transfers a second of the ledger against the ordinary ways and the machine's limits.

Everything is interleaved in one run on one embedded server with fsync on, on the migrated product
tables with a million accounts and a million earlier transfers; medians of ROUNDS rounds, ratios
within a round. Afterwards the rows are counted against the answers, sums are zero, fsck is clean.
The job that writes postings is not under way in the rows that are compared, since peers have
nothing like it; its share is a row of its own, and the soak runs with it.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from custody.core import embedded
from custody.core.db import Database
from custody.ledger import postings
from custody.ledger.batch import Batcher
from scripts.benches import bulk, peers, posters
from scripts.benches.books import Books, check, durable, make, stored
from scripts.benches.form import Measure
from scripts.benches.posters import Run, closed_loop, direct, one_by_one, ours

ROUNDS = 3
SECONDS = 2.5
WARM_S = 0.4
SMALL, LARGE = 10_000, 1_000_000
EARLIER = 1_000_000
CALLERS = (1, 16, 64, 256, 1_000, 4_000)
CLIENTS = (1, 16, 64)
TPCB = tuple(
    (f"TPC-B{kind} {clients}", clients, bool(kind))
    for kind in ("", " prepared")
    for clients in CLIENTS
)
"""As pgbench comes, and with prepared statements, which are faster."""
COPY_ROWS, COPY_BATCHES = 4_000, 12
BULK = 4_000
POOL = 16
SOAK_CALLERS, SOAK_BAR = 1_000, 0.8

Work = Callable[[float], Awaitable[Run]]
Rates = dict[str, list[float]]


def measure() -> list[Measure]:
    return served(_measure)


def soak(seconds: int) -> list[Measure]:
    """The ledger under load, its postings followed meanwhile: is the end as quick as the start?"""
    return served(partial(_soak, seconds=seconds))


def served(
    work: Callable[[embedded.EmbeddedPostgres, str], Awaitable[list[Measure]]],
) -> list[Measure]:
    with tempfile.TemporaryDirectory(prefix="mrg-bench-") as folder:
        os.chmod(folder, 0o755)
        postgres = embedded.start(Path(folder) / "pg")
        try:
            return asyncio.run(_awaited(work(postgres, folder)))
        finally:
            postgres.stop()


async def _awaited(work: Awaitable[list[Measure]]) -> list[Measure]:
    return await work


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _measure(postgres: embedded.EmbeddedPostgres, folder: str) -> list[Measure]:
    started = time.perf_counter()
    books = await make(postgres, LARGE, EARLIER)
    say(f"books loaded in {time.perf_counter() - started:.0f} s: {await durable(books)}")
    peers.tpcb_make(postgres)
    await peers.copy_make(books)
    runs: dict[str, list[Run]] = {}
    rates: Rates = {}
    async with _workloads(books) as (workloads, apart):
        expected = await stored(books)
        for work in workloads.values():  # plans, caches, connections
            expected += (await work(WARM_S)).accepted
        for work in apart.values():
            await work(WARM_S)
        for round_ in range(ROUNDS):
            for name, work in workloads.items():
                run = await work(SECONDS)
                runs.setdefault(name, []).append(run)
                expected += run.accepted
            for name, work in apart.items():
                runs.setdefault(name, []).append(await work(SECONDS))
            for name, clients, prepared in TPCB:
                rate = await asyncio.to_thread(peers.tpcb, postgres, clients, 3, prepared=prepared)
                rates.setdefault(name, []).append(rate)
            pairs = posters.plain(books, SMALL, round_)
            rate = await peers.copy(books, pairs, COPY_ROWS, COPY_BATCHES)
            rates.setdefault("COPY", []).append(rate)
            if (there := await stored(books)) != expected:
                raise RuntimeError(f"answers say {expected} transfers, there are {there}")
            say(f"round {round_ + 1} of {ROUNDS} after {time.perf_counter() - started:.0f} s")
    rates |= await bulk.measure(books, folder, ROUNDS, SECONDS)
    await stored(books)
    await check(books)
    say(f"fsck clean after {time.perf_counter() - started:.0f} s")
    return _measures(runs, rates)


@asynccontextmanager
async def _workloads(books: Books) -> AsyncIterator[tuple[dict[str, Work], dict[str, Work]]]:
    """What posts on the books, by name, and what writes tables of its own."""
    engine = await peers.naive_make(books)
    pool, single = await posters.pool_of(books, POOL), await posters.pool_of(books, 1)
    db = Database(books.app, POOL, pool_timeout_s=600)
    small, large = posters.plain(books, SMALL, 1), posters.plain(books, LARGE, 2)
    hot = posters.hot(books, SMALL, 3)
    refused = posters.refused(books, SMALL, 4)

    def calls(pool_: object, callers: int) -> Work:
        return lambda s: closed_loop(books, callers, s, one_by_one(small, direct(pool_)))

    workloads: dict[str, Work] = {
        f"{n:,} callers": partial(_ours, books, n, make_=small) for n in CALLERS
    }
    workloads |= {
        "one SQL call, 256 callers": calls(pool, 256),
        "one SQL call, one caller": calls(single, 1),
        "1M accounts": partial(_ours, books, 1_000, make_=large),
        "hot account": partial(_ours, books, 1_000, make_=hot),
        "17 % refused": partial(_ours, books, 1_000, make_=refused),
        "30 % holds": partial(_ours, books, 1_000, make_=small, holds=True),
        "batches of 4,000": partial(_ours, books, 3, make_=small, bulk_=BULK),
        "followed meanwhile": partial(_followed, books, make_=small),
        "requests, 64 callers": lambda s: closed_loop(books, 64, s, posters.requests(db, small)),
        "both forms on one hot account": partial(_both, books, db, make_=hot),
    }
    apart: dict[str, Work] = {
        "naive, 256 callers": lambda s: closed_loop(books, 256, s, peers.naive(engine, small)),
    }
    try:
        yield workloads, apart
    finally:
        await engine.dispose()
        await db.close()
        await pool.close()
        await single.close()


async def _ours(
    books: Books,
    callers: int,
    seconds: float,
    *,
    make_: posters.Make,
    holds: bool = False,
    bulk_: int = 0,
) -> Run:
    return await ours(books, callers, seconds, make_, holds=holds, bulk=bulk_)


async def _followed(books: Books, seconds: float, *, make_: posters.Make) -> Run:
    """With the job that writes postings at work beside it."""
    db = Database(books.app)

    async def follow() -> None:
        while True:
            await postings.follow_all(db)
            await asyncio.sleep(0.05)

    following = asyncio.create_task(follow())
    try:
        return await ours(books, 1_000, seconds, make_)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await db.close()


async def _both(books: Books, db: Database, seconds: float, *, make_: posters.Make) -> Run:
    """Batched transfers and requests in transactions on one account. Raises for any deadlock."""
    batched, requested = await asyncio.gather(
        ours(books, 256, seconds, make_),
        closed_loop(books, 16, seconds, posters.requests(db, make_)),
    )
    return Run(
        batched.per_s + requested.per_s,
        requested.p50_ms,
        requested.p99_ms,
        batched.cpu_us,
        batched.wal_bytes,
        batched.accepted + requested.accepted,
    )


async def _soak(
    postgres: embedded.EmbeddedPostgres, _folder: str, *, seconds: int
) -> list[Measure]:
    books = await make(postgres, LARGE, EARLIER)
    await durable(books)
    expected = await stored(books)
    batcher, db = Batcher(books.app), Database(books.app)
    small = posters.plain(books, SMALL, 5)
    tenths: list[Run] = []

    async def follow() -> None:
        while True:
            await postings.follow_all(db)
            await asyncio.sleep(0.05)

    await closed_loop(books, SOAK_CALLERS, 2, one_by_one(small, batcher.post))
    expected = await stored(books)
    following = asyncio.create_task(follow())
    for _ in range(10):
        step = one_by_one(small, batcher.post)
        run = await closed_loop(books, SOAK_CALLERS, seconds / 10, step)
        tenths.append(run)
        expected += run.accepted
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    await batcher.close()
    await db.close()
    if await stored(books) != expected:
        raise RuntimeError("rows and answers do not agree")
    await check(books)
    share = tenths[-1].per_s / tenths[0].per_s
    return [
        Measure("soak: last tenth / first tenth", round(share, 3), "ratio", None, SOAK_BAR),
        *(Measure(f"tenth {k + 1}", round(t.per_s), "transfers/s") for k, t in enumerate(tenths)),
    ]


def _measures(runs: dict[str, list[Run]], rates: Rates) -> list[Measure]:
    per_s: Rates = {name: [r.per_s for r in found] for name, found in runs.items()} | rates
    per_s["best batch"] = _best(per_s, ["batches of 4,000", "4,000 callers"])
    per_s["TPC-B at its best"] = _best(per_s, [name for name, _, prepared in TPCB if not prepared])
    per_s["TPC-B prepared at its best"] = _best(per_s, [name for name, _, p in TPCB if p])

    def ratio(ours_: str, peer: str, bar: float | None) -> Measure:
        value = statistics.median(a / b for a, b in zip(per_s[ours_], per_s[peer], strict=True))
        return Measure(f"{ours_} / {peer}", round(value, 3), "ratio", peer, bar)

    def median(name: str, attribute: str) -> float:
        values: list[float] = [getattr(run, attribute) for run in runs[name]]
        return statistics.median(values)

    alone = statistics.median(
        a.p50_ms / b.p50_ms
        for a, b in zip(runs["1 callers"], runs["one SQL call, one caller"], strict=True)
    )
    p99 = median("256 callers", "p99_ms")
    wal = median("1,000 callers", "wal_bytes")
    measures = [
        ratio("256 callers", "one SQL call, 256 callers", 10),
        ratio("best batch", "COPY", 0.20),
        ratio("1,000 callers", "TPC-B at its best", 7),
        ratio("1,000 callers", "TPC-B prepared at its best", None),
        ratio("hot account", "1,000 callers", 0.8),
        ratio("1M accounts", "1,000 callers", 0.6),
        ratio("30 % holds", "1,000 callers", 0.6),
        Measure("p99 at 256 callers", round(p99, 1), "ms", None, 99, at_most=True),
        Measure(
            "one caller / one SQL call, p50", round(alone, 2), "ratio",
            "one SQL call, one caller", 1.5, at_most=True,
        ),
        Measure("WAL at 1,000 callers", round(wal), "bytes/transfer", None, 850, at_most=True),
        ratio("bulk route", "hello", 3.5),
    ]  # fmt: skip
    for name in runs:
        measures.append(Measure(name, round(median(name, "per_s")), "transfers/s"))
        measures += [
            Measure(f"{name}: {label}", round(median(name, attribute), 1), unit)
            for label, attribute, unit in (
                ("p50", "p50_ms", "ms"),
                ("p99", "p99_ms", "ms"),
                ("CPU", "cpu_us", "us/transfer"),
                ("WAL", "wal_bytes", "bytes/transfer"),
            )
        ]
    for name, found in rates.items():
        measures.append(Measure(name, round(statistics.median(found)), "1/s"))
    return measures


def _best(per_s: Rates, names: list[str]) -> list[float]:
    """The runs of the best of them. Not the best run of each round: that would be luck, too."""
    return per_s[max(names, key=lambda name: statistics.median(per_s[name]))]

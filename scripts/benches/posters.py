"""The workloads of the ledger's bench: who posts what, and how many at a time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from custody.audit import log
from custody.core import heap, idempotency
from custody.core.db import Database
from custody.core.idempotency import StoredAnswer
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.core.native import positional
from custody.ledger import posting
from custody.ledger.batch import Batcher
from custody.ledger.posting import Result, Transfer, post_hold
from scripts.benches.books import ASSET, CODE, Books, Meter

Post = Callable[[Sequence[Transfer]], Awaitable[Sequence[Result]]]
Make = Callable[[int], Transfer]
PAIRS = 1 << 17
_CALL, _ = positional(posting.CALL)


@dataclass
class Tally:
    """What the callers of one run were told."""

    latencies_s: list[float] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0

    @property
    def count(self) -> int:
        return self.accepted + self.refused

    def at(self, percent: int) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@dataclass(frozen=True)
class Run:
    """One run of one workload. `per_s` counts transfers, CPU and WAL are for each of them."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    wal_bytes: float
    accepted: int


def plain(books: Books, among: int, seed: int) -> Make:
    """Between two of the first `among` holders, at random."""
    chance = random.Random(seed)
    pairs = [chance.sample(range(among), 2) for _ in range(PAIRS)]
    holders = books.holders

    def make(k: int) -> Transfer:
        debit, credit = pairs[k % PAIRS]
        return _transfer(books, holders[debit], holders[credit])

    return make


def hot(books: Books, among: int, seed: int) -> Make:
    """Every transfer touches the pool, from either side."""
    other = plain(books, among, seed)

    def make(k: int) -> Transfer:
        transfer = other(k)
        if k % 2:
            return replace(transfer, debit=books.pool)
        return replace(transfer, credit=books.pool)

    return make


def refused(books: Books, among: int, seed: int) -> Make:
    """One in six is asked of somebody who has nothing."""
    other = plain(books, among, seed)

    def make(k: int) -> Transfer:
        transfer = other(k)
        return replace(transfer, debit=books.poor[k % 100]) if k % 6 == 0 else transfer

    return make


def _transfer(books: Books, debit: AccountId, credit: AccountId) -> Transfer:
    return Transfer(
        TransferId(new_uuid7()), books.tenant, debit, credit, 1000, CODE,
        event_at=datetime.now(UTC),
    )  # fmt: skip


async def closed_loop(
    books: Books, callers: int, seconds: float, step: Callable[[int, Tally], Awaitable[None]]
) -> Run:
    """`callers` at once, each asking again as soon as it has its answer."""
    tally, meter = Tally(), Meter(books)
    number = 0
    heap.settle()  # as the service does at its start
    await meter.start()
    started = time.perf_counter()
    end = started + seconds

    async def caller() -> None:
        nonlocal number
        while time.perf_counter() < end:
            number += 1
            await step(number, tally)

    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.perf_counter() - started
    cpu_s, wal = await meter.stop()
    return Run(
        tally.count / elapsed,
        tally.at(50) * 1e3,
        tally.at(99) * 1e3,
        cpu_s / tally.count * 1e6,
        wal / tally.count,
        tally.accepted,
    )


def _note(tally: Tally, started: float, results: Sequence[Result]) -> None:
    tally.latencies_s.append(time.perf_counter() - started)
    for result in results:
        if result.stored:
            tally.accepted += 1
        else:
            tally.refused += 1


def one_by_one(make: Make, post: Post) -> Callable[[int, Tally], Awaitable[None]]:
    async def step(k: int, tally: Tally) -> None:
        transfer = make(k)
        started = time.perf_counter()
        _note(tally, started, await post([transfer]))

    return step


def with_holds(books: Books, make: Make, post: Post) -> Callable[[int, Tally], Awaitable[None]]:
    """Of ten transfers three are holds and three their posts."""

    async def step(k: int, tally: Tally) -> None:
        transfer = make(k)
        if k % 7 > 2:  # four plain ones to three holds that are then posted
            started = time.perf_counter()
            _note(tally, started, await post([transfer]))
            return
        hold = replace(transfer, kind="pending")
        started = time.perf_counter()
        _note(tally, started, await post([hold]))
        end = post_hold(
            TransferId(new_uuid7()), books.tenant, hold.id, None, CODE, event_at=datetime.now(UTC)
        )
        started = time.perf_counter()
        _note(tally, started, await post([end]))

    return step


def in_bulk(make: Make, post: Post, size: int) -> Callable[[int, Tally], Awaitable[None]]:
    """Calls of `size` transfers, as a caller that has many at once sends them."""

    async def step(k: int, tally: Tally) -> None:
        call = [make(k * size + i) for i in range(size)]
        started = time.perf_counter()
        _note(tally, started, await post(call))

    return step


def direct(pool: Any) -> Post:
    """The peer: each call of the SQL function is a transaction of its own, on a pool of asyncpg."""

    async def post(transfers: Sequence[Transfer]) -> Sequence[Result]:
        params = posting.encode(transfers).values()
        async with pool.acquire() as connection:
            return posting.decode(transfers, *(await connection.fetchrow(_CALL, *params)))

    return post


async def pool_of(books: Books, size: int) -> Any:
    url = books.app.replace("postgresql+asyncpg", "postgresql")
    return await asyncpg.create_pool(url, min_size=size, max_size=size)


def requests(db: Database, make: Make) -> Callable[[int, Tally], Awaitable[None]]:
    """The other form: a request's hold, audit entry and idempotency row in its own transaction."""

    async def step(k: int, tally: Tally) -> None:
        hold = replace(make(k), kind="pending", reference="bench")
        at, key = datetime.now(UTC), new_uuid7().hex
        started = time.perf_counter()
        async with db.write() as s:
            await idempotency.begin(s, hold.tenant_id, "bench", key, b"h" * 32)
            results = await posting.post_or_raise(s, [hold])
            data = {
                "transfer": format_id("transfer", hold.id), "asset": str(ASSET),
                "amount": str(hold.amount), "from": "bench", "to": "bench",
            }  # fmt: skip
            await log.append(s, hold.tenant_id, "transfer.posted", data, at=at)
            answer = StoredAnswer(201, b"{}")
            await idempotency.finish(s, hold.tenant_id, "bench", key, b"h" * 32, answer)
        _note(tally, started, results)

    return step


async def ours(
    books: Books, callers: int, seconds: float, make: Make, *, holds: bool = False, bulk: int = 0
) -> Run:
    """A run of the batcher, made and closed for it."""
    batcher = Batcher(books.app)
    try:
        if bulk:
            step = in_bulk(make, batcher.post, bulk)
        elif holds:
            step = with_holds(books, make, batcher.post)
        else:
            step = one_by_one(make, batcher.post)
        return await closed_loop(books, callers, seconds, step)
    finally:
        await batcher.close()

"""How the ledger keeps its speed as accounts and transfers grow. Nothing here has a bar.

The same callers post and the same questions are asked at each size; `custody/ledger/SCALE.md` has
the figures.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg

from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.db import Database, ReadSession
from custody.core.ids import AccountId
from custody.ledger import balances
from custody.ledger.batch import Batcher
from custody.ledger.statements import statement
from scripts.benches import peers, posters
from scripts.benches.books import LOAD, Books, durable, follow, make, settle, stored
from scripts.benches.form import Measure
from scripts.benches.ledger import COPY_BATCHES, COPY_ROWS, say, served

ACCOUNTS = (10_000, 100_000, 1_000_000)
TRANSFERS = tuple(range(1_000_000, 5_000_001, 1_000_000))
CALLERS, SECONDS, ROUNDS = 1_000, 2.5, 3
ASKED = 200
PARTITIONS = 60

Question = Callable[[ReadSession, AccountId], Awaitable[object]]


def measure() -> list[Measure]:
    return served(_measure)


async def _measure(postgres: embedded.EmbeddedPostgres, _folder: str) -> list[Measure]:
    books = await make(postgres, ACCOUNTS[-1], TRANSFERS[0])
    await durable(books)
    measures = _told(await _by_accounts(books))
    for transfers in TRANSFERS:
        await _grow(books, transfers)
        measures += _told(await _at(books, f"{transfers:,} transfers"))
    await peers.copy_make(books, filled=False)
    await peers.parted_make(books, PARTITIONS)
    measures.append(await _parted(books))
    await stored(books)
    return measures


def _told(measures: list[Measure]) -> list[Measure]:
    """Said as they come: a run takes a quarter of an hour."""
    for m in measures:
        say(f"{m.name}: {m.value} {m.unit}")
    return measures


async def _by_accounts(books: Books) -> list[Measure]:
    """Posting over the first so many of the accounts, interleaved."""
    makes = {n: posters.plain(books, n, n) for n in ACCOUNTS}
    runs: dict[int, list[posters.Run]] = {n: [] for n in ACCOUNTS}
    for _ in range(ROUNDS):
        for n, make_ in makes.items():
            runs[n].append(await posters.ours(books, CALLERS, SECONDS, make_))
    return [m for n, found in runs.items() for m in _posting(f"over {n:,} accounts", found)]


async def _grow(books: Books, transfers: int) -> None:
    """Post in large calls until there are so many, and bring everything up to date."""
    batcher = Batcher(books.app)
    make_ = posters.plain(books, ACCOUNTS[0], transfers)
    missing = transfers - await _count(books)
    for start in range(0, missing, 4 * LOAD):
        calls = [
            [make_(k) for k in range(low, min(low + LOAD, missing))]
            for low in range(start, min(start + 4 * LOAD, missing), LOAD)
        ]
        await asyncio.gather(*(batcher.post_or_raise(call) for call in calls))
    await batcher.close()
    await settle(books)


async def _at(books: Books, size: str) -> list[Measure]:
    make_ = posters.plain(books, ACCOUNTS[0], 1)
    runs = [await posters.ours(books, CALLERS, SECONDS, make_) for _ in range(ROUNDS)]
    total = await _count(books)
    started = time.perf_counter()
    followed = await follow(books)
    per_s = followed / (time.perf_counter() - started)
    measures = _posting(size, runs)
    measures.append(Measure(f"{size}: postings written", round(per_s), "transfers/s"))
    db = Database(books.app)
    now = SystemClock().now()
    questions: dict[str, Question] = {
        "statement of an hour": lambda s, a: statement(s, a, now - timedelta(hours=1), now),
        "balance an hour ago": lambda s, a: balances.balance_at(s, a, now - timedelta(hours=1)),
    }
    async with db.read() as s:
        for name, question in questions.items():
            p50 = await _asked(s, books, question)
            measures.append(Measure(f"{size}: {name}, p50", round(p50 * 1e3, 2), "ms"))
    await db.close()
    for table in ("transfers", "postings"):
        measures.append(
            Measure(f"{size}: {table}", round(await _bytes(books, table) / total), "bytes/transfer")
        )
    return measures


def _posting(size: str, runs: list[posters.Run]) -> list[Measure]:
    return [
        Measure(size, round(statistics.median(r.per_s for r in runs)), "transfers/s"),
        Measure(f"{size}: CPU", round(statistics.median(r.cpu_us for r in runs), 1), "us/transfer"),
        Measure(
            f"{size}: WAL", round(statistics.median(r.wal_bytes for r in runs)), "bytes/transfer"
        ),
    ]


async def _asked(s: ReadSession, books: Books, question: Question) -> float:
    """Half of the answers come within so many seconds."""
    took = []
    for k in range(ASKED):
        started = time.perf_counter()
        await question(s, books.holders[k * 37 % ACCOUNTS[0]])
        took.append(time.perf_counter() - started)
    return statistics.median(took)


async def _parted(books: Books) -> Measure:
    """Rows a second into the partitioned table to those into the plain one."""
    pairs = posters.plain(books, ACCOUNTS[0], 7)
    ratios = []
    for _ in range(ROUNDS):
        whole = await peers.copy(books, pairs, COPY_ROWS, COPY_BATCHES)
        parted = await peers.copy(books, pairs, COPY_ROWS, COPY_BATCHES, "parted")
        ratios.append(parted / whole)
    return Measure(
        f"COPY into {PARTITIONS} partitions / into one table",
        round(statistics.median(ratios), 2),
        "ratio",
        "COPY",
    )


async def _count(books: Books) -> int:
    return int(await _scalar(books, "SELECT count(*) FROM transfers"))


async def _bytes(books: Books, table: str) -> int:
    return int(await _scalar(books, f"SELECT pg_total_relation_size('{table}')"))


async def _scalar(books: Books, sql: str) -> int:
    admin = await asyncpg.connect(books.admin)
    found = await admin.fetchval(sql)
    await admin.close()
    return int(found)

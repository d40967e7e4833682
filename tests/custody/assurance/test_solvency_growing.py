"""A tree that a process of its own grows is the worker's own, and it never outlives its use."""

import multiprocessing
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy.exc import DBAPIError

from custody.assurance.solvency import growing, layout, tree
from custody.assurance.solvency.growing import Asked, Chunk, Found, GrowingFailed, Grown
from custody.assurance.solvency.layout import Context
from custody.core.db import Database
from custody.core.errors import Broken
from tests.custody.ledger.test_owed import CHAIN, PIN, make, opened
from tests.fixtures.ledger import COIN, Books

pytestmark = pytest.mark.postgres
SECRET = b"\x03" * 32
CONTEXT = Context("log.example/ten_1", 1, b"\x04" * 32, (COIN, "eip155:9/slip44:60"), ())


def asked(books: Books, floor: int = 0) -> Asked:
    return Asked(books.tenant, {CHAIN: PIN}, floor)


async def grown(books: Books) -> tuple[Found, Grown, list[Chunk]]:
    async with AsyncExitStack() as stack:
        async with books.database.snapshot() as s:
            begun = growing.grower(books.database, s, asked(books))
            grower = await stack.enter_async_context(begun)
        found = await grower.found()
        made = await grower.grow(SECRET, CONTEXT)
        chunks = [chunk async for page in grower.pages() for chunk in page]
    return found, made, chunks


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "ALONE_FROM", 0)


async def test_both_ways_give_one_tree(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    books = await opened(database)
    await make(books, [("cash", "ann", 2**70, 5), ("cash", "bob", 3, None)])
    here = await grown(books)
    alone(monkeypatch)
    assert await grown(books) == here
    found, made, chunks = here
    assert (found.customers, found.assets, found.prices) == (2, (COIN,), ())
    assert (made.depth, made.root.sums) == (layout.DEPTH_MIN, (2**70 + 3, 0))
    assert [(c.number, len(c.records)) for c in chunks] == [(0, 1024 * (32 + 2 * 16))]
    assert multiprocessing.active_children() == []


def test_a_tree_of_pages() -> None:
    """More than a page of chunks, in their order."""
    customers = os.urandom(16 * 1024 * (growing.PAGE + 1))
    sums: Any = tree.words([[1]] * (len(customers) // 16), 1)
    made = growing.build(SECRET, CONTEXT.hash, customers, sums)
    pages = list(growing.pages(made))
    assert [len(p) for p in pages] == [growing.PAGE, growing.PAGE]
    chunks = [c for page in pages for c in page]
    assert b"".join(c.records for c in chunks) == made.records.tobytes()
    assert b"".join(c.root for c in chunks) == made.chunks.tobytes()
    assert [c.first_id for c in chunks] == sorted(c.first_id for c in chunks)


async def test_what_it_refuses_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await opened(database)
    await make(books, [("cash", "ann", 9, PIN + 1), ("ann", "cash", 4, 5)])
    alone(monkeypatch)
    with pytest.raises(Broken, match="1 balances are below zero"):
        await grown(books)
    assert multiprocessing.active_children() == []


async def test_a_killed_one_is_told_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory runs out: the epoch waits and tries again."""
    books = await opened(database)
    alone(monkeypatch)
    async with database.snapshot() as s, growing.grower(database, s, asked(books)) as grower:
        await grower.found()
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(GrowingFailed, match="has ended"):
            await grower.grow(SECRET, CONTEXT)


async def test_one_that_nobody_asks_any_more_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker may be killed: then its end of the pipe is closed, and nothing else tells."""
    books = await opened(database)
    alone(monkeypatch)
    async with database.snapshot() as s, growing.grower(database, s, asked(books)) as grower:
        await grower.found()
        (process,) = multiprocessing.active_children()
        grower._pipe.close()  # type: ignore[attr-defined]
        process.join(20)
        assert process.exitcode == 0


async def test_one_that_is_not_needed_any_more_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an exchange cannot be read: it would wait for a context for ever."""
    books = await opened(database)
    alone(monkeypatch)
    async with database.snapshot() as s, growing.grower(database, s, asked(books)) as grower:
        await grower.found()
        (process,) = multiprocessing.active_children()
        limits = Path(f"/proc/{process.pid}/limits")
        if limits.exists():
            (core,) = [x for x in limits.read_text().splitlines() if x.startswith("Max core")]
            assert core.split()[4:6] == ["0", "0"], "its secret is in no core file"
    assert multiprocessing.active_children() == []


class Stopped:
    """The worker's end of the pipe, where it is stopped and not dead: nothing is asked for long."""

    def send(self, _: object) -> None:
        return

    def recv(self) -> None:
        time.sleep(1)


async def test_a_moment_does_not_wait_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was changed since could be vacuumed."""
    books = await opened(database)
    monkeypatch.setattr(growing, "WAIT", "100ms", raising=False)
    async with database.snapshot() as s:
        moment = await s.share_moment()
        with pytest.raises(DBAPIError, match=r"timeout|closed"):
            await growing._read(cast(Any, Stopped()), database.url, moment, asked(books))


@pytest.mark.parametrize("is_alone", [False, True])
async def test_what_is_posted_after_the_snapshot_is_not_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_alone: bool
) -> None:
    """However much later it is asked for: places and balances are of one moment."""
    books = await opened(database)
    await make(books, [("cash", "ann", 7, 5)])
    if is_alone:
        alone(monkeypatch)
    async with AsyncExitStack() as stack:
        async with database.snapshot() as s:
            grower = await stack.enter_async_context(growing.grower(database, s, asked(books)))
        await make(books, [("cash", "ann", 1, 5)])
        await grower.found()
        assert (await grower.grow(SECRET, CONTEXT)).root.sums == (7, 0)

"""Numbering what is committed: nothing is skipped, nothing is numbered twice."""

import asyncio

import pytest

from custody.audit import log, reads, sequence
from custody.core.db import Database, ReadSession
from tests.custody.audit.entries import AT, TENANT, add, customer_created

pytestmark = pytest.mark.postgres


async def order(s: ReadSession) -> list[str]:
    """References in the log's order."""
    found = await reads.entries(s, 0, 1000)
    assert [e.seq for e in found] == list(range(len(found)))
    return [e.body.decode().split('"reference":"')[1].split('"')[0] for e in found]


async def test_late_commit_still_gets_a_number(database: Database) -> None:
    """A transaction that wrote first and committed last is neither skipped nor in the way."""
    late_wrote, may_commit = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with database.write() as s:
            await log.append(
                s, TENANT, "customer.created", {**customer_created(), "reference": "late"}, at=AT
            )
            late_wrote.set()
            await may_commit.wait()

    task = asyncio.create_task(late())
    await late_wrote.wait()
    await add(database, 2)
    assert await sequence.run_once(database) == 2
    async with database.read() as s:
        assert await order(s) == ["c-1", "c-1"]
    may_commit.set()
    await task
    assert await sequence.run_once(database) == 1
    async with database.read() as s:
        assert await order(s) == ["c-1", "c-1", "late"]
    assert await sequence.run_once(database) == 0


async def test_batches_and_parallel_runs_leave_no_gap(database: Database) -> None:
    """Two workers at once, without a lease: the lock inside still keeps one order."""
    await add(database, 50)
    counts = await asyncio.gather(*(sequence.run_once(database, batch=7) for _ in range(10)))
    assert sum(counts) == 50
    async with database.read() as s:
        assert len(await order(s)) == 50
        assert await s.scalar("SELECT count(*) FROM audit_pending") == 0


async def test_writers_in_parallel_all_get_numbers(database: Database) -> None:
    async def numbering() -> int:
        total = 0
        for _ in range(40):
            total += await sequence.run_once(database)
            await asyncio.sleep(0.005)
        return total

    running = asyncio.create_task(numbering())
    await asyncio.gather(*(add(database, 3) for _ in range(20)))
    assert await running + await sequence.run_all(database) == 60
    async with database.read() as s:
        assert len(await order(s)) == 60


async def test_order_follows_commits_one_after_the_other(database: Database) -> None:
    names = [f"n{i}" for i in range(20)]
    for name in names:
        async with database.write() as s:
            data = {**customer_created(), "reference": name}
            await log.append(s, TENANT, "customer.created", data, at=AT)
    await sequence.run_once(database)
    async with database.read() as s:
        assert await order(s) == names

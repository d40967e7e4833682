"""Numbering what is committed: nothing is skipped, nothing is numbered twice."""

import asyncio
import random
from pathlib import Path

import pytest

from custody.audit import log, merkle, proof, reads, sequence, tiles
from custody.core.db import Database, ReadSession
from tests.custody.audit.entries import AT, TENANT, LogSigner, add, customer_created, log_writer

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


async def test_a_follower_sees_every_number_once_and_in_order(database: Database) -> None:
    """Writers that hold their transactions open for different times, a writer of the log, and a
    follower with a cursor: whoever reads numbers upwards misses nothing, however late a commit."""
    chance, done = random.Random(28), asyncio.Event()
    seen: list[bytes] = []

    async def writer(name: str) -> None:
        async with database.write() as s:
            data = {**customer_created(), "reference": name}
            await log.append(s, TENANT, "customer.created", data, at=AT)
            await asyncio.sleep(chance.random() / 5)

    async def numbering() -> None:
        while not done.is_set():
            await sequence.run_once(database, batch=chance.randrange(1, 5))

    async def follower() -> None:
        while not done.is_set():
            async with database.read() as s:
                page = await reads.entries(s, len(seen), 3)
            assert [e.seq for e in page] == list(range(len(seen), len(seen) + len(page)))
            seen.extend(e.body for e in page)

    jobs = [asyncio.create_task(job()) for job in (numbering, follower)]
    for _ in range(12):
        await asyncio.gather(*(writer(f"w{k}") for k in range(6)))
    while len(seen) < 72:
        await asyncio.sleep(0.01)
        assert not any(job.done() for job in jobs)
    done.set()
    await asyncio.gather(*jobs)
    async with database.read() as s:
        assert [e.body for e in await reads.entries(s, 0, 1_000)] == seen
    assert len(set(seen)) == 72


async def test_a_late_commit_stands_after_what_was_published(
    database: Database, tmp_path: Path
) -> None:
    """The transaction that began first commits last: the signed tree has it behind all the others,
    and the tree that was signed before is its prefix."""
    signer = LogSigner()
    writer = log_writer(database, signer, tmp_path)
    async with database.write() as first:
        data = {**customer_created(), "reference": "first"}
        await log.append(first, TENANT, "customer.created", data, at=AT)
        for _ in range(3):
            await add(database, 2)
            assert await writer.step() == 2
        before = tiles.TileFolder(tmp_path).root(6)
    assert await writer.step() == 1
    node = proof.from_tiles(tmp_path, 7)
    steps = proof.consistency(node, 6, 7)
    merkle.verify_consistency(6, 7, before, signer.signed[7], steps.hashes)
    last = tiles.split_bundle(tiles.TileFolder(tmp_path).read(tiles.ENTRIES, 0, 7))[-1]
    assert b'"reference":"first"' in last

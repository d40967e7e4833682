"""kill -9 of who seals, numbers, signs and follows, while others post: every journal is sealed
once, every event is numbered once, and fsck finds nothing."""

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from api.followers import follow, tenant_events
from api.followers.tenant_events import TenantEvents
from custody.assurance import fsck as log_fsck
from custody.audit import sequence
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.ledger import postings, seal, seal_fsck
from tests.conftest import Server
from tests.custody.audit.entries import LogSigner, sign_log
from tests.fixtures.ledger import Books, assert_sound

pytestmark = pytest.mark.postgres

KILLS = 100 if os.environ.get("MOORAGE_DEEP") else 3
POSTED_MAX = 20_000


async def work_once(database: Database, folder: Path, limit: int) -> int:
    """What the worker's jobs do, in small steps; how much there was to do."""
    clock = SystemClock()
    async with database.write() as s:
        moved = await postings.follow(s, limit)
    moved += await seal.step(database, clock, limit)
    moved += await sequence.run_once(database, limit)
    signed = await sign_log(database, LogSigner(), folder)
    moved += await follow.record_once(database, TenantEvents(), clock, limit)
    return moved + (signed is not None)


async def _work(job: dict[str, str]) -> None:
    """The process that is killed."""
    database = Database(job["url"])
    chance = random.Random(job["seed"])
    os.write(1, b"at work\n")
    while True:
        await work_once(database, Path(job["folder"]), chance.randrange(1, 40))


async def _start(job: dict[str, str]) -> Process:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.test_seals"),
        env={**os.environ, "JOB": json.dumps(job)},
        stdout=PIPE,
    )
    assert started.stdout is not None
    assert await started.stdout.readline() == b"at work\n"
    return started


async def _post(books: Books, stop: asyncio.Event, chance: random.Random) -> int:
    posted = 0
    while not stop.is_set() and posted < POSTED_MAX:
        count = chance.randrange(1, 20)
        await books.post(*(books.transfer("cash", "ann", 1) for _ in range(count)))
        posted += count
        await asyncio.sleep(0.005)
    return posted


async def test_killed_at_any_moment_it_resumes(
    database: Database, postgres_server: Server, database_name: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("MOORAGE_SEED", "1"))
    chance = random.Random(seed)
    books = Books(database)
    await books.open("cash", "asset")
    await books.open("ann", "liability")
    stop = asyncio.Event()
    posting = asyncio.create_task(_post(books, stop, chance))
    job = {"url": postgres_server.app(database_name), "folder": str(tmp_path)}
    for n in range(KILLS):
        process = await _start({**job, "seed": f"{seed}/{n}"})
        await asyncio.sleep(chance.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        await process.wait()
    stop.set()
    posted = await posting
    while await work_once(database, tmp_path, 1_000):
        pass
    async with database.snapshot() as s:
        await assert_sound(s)
        assert await seal_fsck.check(s) == []
        assert await log_fsck.check(s, LogSigner().key.vkey(), tmp_path) == []
        assert await tenant_events.check(s) == []
        sealed = await s.scalar("SELECT sum(transfers) FROM ledger_seals")
        events = await s.scalar("SELECT count(*) FROM tenant_events")
        entries = await s.scalar("SELECT count(*) FROM audit_entries")
    assert (sealed, events) == (posted, entries)
    assert await sequence.run_all(database) == 0


if __name__ == "__main__":
    asyncio.run(_work(json.loads(os.environ["JOB"])))

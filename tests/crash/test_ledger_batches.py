"""kill -9 in the middle of batches: of who asks, and of PostgreSQL. Answers and rows agree."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import psutil
import pytest

from api.migrations.run import upgrade
from custody.core import embedded
from custody.core.db import Database
from custody.core.ids import AccountId, TenantId, TransferId
from custody.ledger.batch import Batcher
from custody.ledger.posting import Transfer
from tests.conftest import Server
from tests.fixtures.ledger import EVENT_AT, Books, assert_sound

pytestmark = pytest.mark.postgres

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
KILLS = 20 if DEEP else 4
CALLERS, EACH = 40, 60
SPACE = UUID("5f0c5f5e-6d0f-4c9e-9f0a-1f6f1d0c7a10")


def transfer_of(job: dict[str, str], caller: int, k: int) -> Transfer:
    """The same transfer for the same numbers, whoever makes it: what a client does that retries.

    Half of the callers spend from ann, who has less than they ask for.
    """
    poor = caller % 2 == 0
    return Transfer(
        TransferId(uuid5(SPACE, f"{job['run']}/{caller}/{k}")),
        TenantId(UUID(job["tenant"])),
        AccountId(UUID(job["ann" if poor else "cash"])),
        AccountId(UUID(job["bob"])),
        1 + (caller + k) % 5,
        "crash",
        event_at=EVENT_AT,
    )


async def _ask(job: dict[str, str]) -> None:
    """The client that is killed: every answer it was given goes to its standard output."""
    batcher = Batcher(job["url"])

    async def caller(n: int) -> None:
        for k in range(EACH):
            (result,) = await batcher.post([transfer_of(job, n, k)])
            os.write(1, f"{n} {k} {result.outcome}\n".encode())

    await asyncio.gather(*(caller(n) for n in range(CALLERS)))
    await batcher.close()


def _start(job: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.test_ledger_batches"],
        env={**os.environ, "JOB": json.dumps(job)},
        stdout=subprocess.PIPE,
    )


async def _books(database: Database) -> tuple[Books, dict[str, str]]:
    books = Books(database)
    await books.open("cash", "asset")
    await books.open("ann", "liability")
    await books.open("bob", "liability")
    await books.post(books.transfer("cash", "ann", 1_500))
    job = {name: str(id_) for name, id_ in books.ids.items()}
    return books, job | {"tenant": str(books.tenant), "url": database.url}


async def _stored(database: Database) -> set[UUID]:
    async with database.read() as s:
        return {row.id for row in await s.all("SELECT id FROM transfers WHERE code = 'crash'")}


async def test_client_killed_in_the_middle_of_batches(database: Database) -> None:
    """Property 9 for the ledger: what was answered is stored, and asking again changes nothing."""
    books, job = await _books(database)
    for kill in range(KILLS):
        job["run"] = str(kill)
        client = _start(job)
        assert client.stdout is not None
        told = await asyncio.to_thread(client.stdout.read, random.randrange(1, 20_000))
        client.send_signal(signal.SIGKILL)
        told += await asyncio.to_thread(client.stdout.read)
        await asyncio.to_thread(client.wait)
        before = await _stored(database)
        for n, k, outcome in (line.split() for line in told.decode().splitlines()):
            id_ = transfer_of(job, int(n), int(k)).id
            assert (id_ in before) == (outcome in ("ok", "exists"))
        again = _start(job)  # the same client, started anew, asks for everything once more
        out, _ = await asyncio.to_thread(again.communicate)
        assert again.returncode == 0
        said = [line.split() for line in out.decode().splitlines()]
        assert len(said) == CALLERS * EACH
        after = await _stored(database)
        for n, k, outcome in said:
            id_ = transfer_of(job, int(n), int(k)).id
            assert (id_ in after) == (outcome in ("ok", "exists"))
            assert outcome == "exists" or id_ not in before
    async with database.snapshot() as s:
        await assert_sound(s)
    assert (await books.balance("ann")).available < 5


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL that may be killed."""
    with tempfile.TemporaryDirectory(prefix="mrg-pg-") as folder:
        os.chmod(folder, 0o755)
        server = Server(embedded.start(Path(folder) / "pg"))
        yield server
        server.postgres.stop()


def _kill_all(server: Server) -> None:
    pid = int((server.postgres.folder / "postmaster.pid").read_text().split("\n")[0])
    postmaster = psutil.Process(pid)
    everyone = [postmaster, *postmaster.children(recursive=True)]
    for process in everyone:
        process.kill()
    psutil.wait_procs(everyone, timeout=10)


async def test_postgres_killed_in_the_middle_of_batches(own_server: Server) -> None:
    """Property 46's heart: no answered transfer is lost, and nobody sees more than a delay."""
    embedded.ensure_database(own_server.postgres, "crash")
    await upgrade(own_server.owner("crash"))
    database = Database(own_server.app("crash"))
    _, job = await _books(database)
    await database.close()
    batcher = Batcher(job["url"])
    job["run"] = "server"
    said: list[tuple[Transfer, str]] = []

    async def caller(n: int) -> None:
        for k in range(EACH):
            transfer = transfer_of(job, n, k)
            (result,) = await batcher.post([transfer])
            said.append((transfer, str(result.outcome)))

    asking = asyncio.gather(*(caller(n) for n in range(CALLERS)))
    for share in (1, 2):
        while len(said) < share * CALLERS * EACH // 3:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(_kill_all, own_server)
        await asyncio.to_thread(embedded.start, own_server.postgres.folder)
    await asking
    await batcher.close()

    assert len(said) == CALLERS * EACH
    database = Database(own_server.app("crash"))
    stored = await _stored(database)
    assert all((t.id in stored) == (outcome in ("ok", "exists")) for t, outcome in said)
    assert Counter(outcome == "insufficient_funds" for _, outcome in said)[True] > 0
    async with database.snapshot() as s:
        await assert_sound(s)
    await database.close()


if __name__ == "__main__":
    asyncio.run(_ask(json.loads(os.environ["JOB"])))

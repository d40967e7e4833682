"""The log as the worker runs it: entries committed in PostgreSQL until their checkpoint is out.

Three processes besides PostgreSQL: this one runs the worker's paced job, one is the signer with
its own store and socket, and one commits entries, each in a transaction of its own, at the times
that a clock says and not when the last one is done (an open loop).
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import UUID

import asyncpg

from api.jobs import LOG_MS
from api.migrations.run import upgrade
from api.worker import Job, keep
from custody.audit import log
from custody.audit.checkpoint import LogWriter
from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.embedded import EmbeddedPostgres
from custody.core.ids import TenantId, format_id, new_uuid7
from custody.core.leases import Leases
from custody.core.native import positional
from custody.keys import ceremony, homes
from custody.keys import signer as signing
from custody.keys.client import SignerClient
from custody.keys.people import PersonKey

DATABASE = "audit_bench"
CONNECTIONS = 16
RETRY_MS = 250
PASSPHRASE = "throw-away passphrase of a bench"
_INSERT, _NAMES = positional(log._INSERT)
FORK = multiprocessing.get_context("fork")


def entry(entry_id: UUID, tenant: UUID, k: int) -> bytes:
    """A transfer, the commonest entry."""
    data = {
        "transfer": format_id("transfer", entry_id),
        "asset": "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        "amount": str(10**6 + k),
        "from": format_id("customer", entry_id),
        "to": format_id("customer", tenant),
    }
    return log.encode(entry_id, tenant, "transfer.posted", data, SystemClock().now())


class WatchedWriter(LogWriter):
    """Notes when each checkpoint was out."""

    published: list[tuple[int, float]]

    async def _publish(self, signed: str | None, size: int) -> None:
        await super()._publish(signed, size)
        self.published.append((size, time.perf_counter()))


class LogService:
    """A log with its database and its signer. `close` ends both."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        embedded.ensure_database(postgres, DATABASE)
        asyncio.run(upgrade(postgres.url(DATABASE, embedded.OWNER_ROLE)))
        self.url = postgres.url(DATABASE, embedded.APP_ROLE)
        self._folder, self._home = folder / "log", folder / "home"
        made = ceremony.create(
            self._home,
            passphrase=PASSPHRASE,
            tenant_id=TenantId(new_uuid7()),
            authority_public_key=PersonKey.new().public_key,
            people=[],
            log_origin="bench.example/log",
            scrypt_n=2**12,
        )
        self._vkey = made.log_vkey
        self._signer = FORK.Process(target=_sign, args=(self._home,))
        self._signer.start()
        while not homes.socket_path(self._home).exists():
            time.sleep(0.01)

    def close(self) -> None:
        self._signer.terminate()
        self._signer.join()

    def writer(self, db: Database) -> WatchedWriter:
        client = SignerClient(homes.socket_path(self._home))
        made = WatchedWriter(db, client, self._vkey, self._folder, SystemClock())
        made.published = []
        return made

    def latencies(self, per_s: int, seconds: int) -> list[float]:
        """Seconds from commit to published checkpoint, of each entry."""
        with _load(self.url, per_s, per_s * seconds) as results:
            return asyncio.run(self._follow(results))

    async def _follow(self, results: Connection) -> list[float]:
        db = Database(self.url)
        leases, stop, writer = Leases(db), asyncio.Event(), self.writer(db)
        job = Job("audit.log", writer.run, RETRY_MS, pace_ms=LOG_MS)
        keeping = asyncio.create_task(keep(leases, job, stop))
        committed: dict[UUID, float] = await asyncio.to_thread(results.recv)
        stop.set()
        await keeping
        while await writer.step():
            pass
        found = await _numbers(db, committed)
        await leases.close()
        await db.close()
        return _waits(found, writer.published)

    def restart(self) -> tuple[int, float]:
        """The size of the log, and seconds until a new writer could append to it."""

        async def start() -> tuple[int, float]:
            db = Database(self.url)
            async with db.read() as s:
                await s.scalar("SELECT 1")  # connected
            writer = self.writer(db)
            started = time.perf_counter()
            at = await writer._edge_at(await writer._state())
            taken = time.perf_counter() - started
            await db.close()
            return at.size, taken

        return asyncio.run(start())


def _sign(home: Path) -> None:
    desk = homes.open_desk(home, PASSPHRASE, SystemClock())
    asyncio.run(signing.listen(desk, homes.socket_path(home), lambda: None))


@contextmanager
def _load(url: str, per_s: int, count: int) -> Iterator[Connection]:
    """Entries on their way from another process, which sends when each was committed."""
    ours, theirs = FORK.Pipe()
    loading = FORK.Process(target=lambda: theirs.send(asyncio.run(_commit(url, per_s, count))))
    loading.start()
    yield ours
    loading.join()


async def _commit(url: str, per_s: int, count: int) -> dict[UUID, float]:
    address = url.replace("postgresql+asyncpg", "postgresql")
    pool = await asyncpg.create_pool(address, min_size=CONNECTIONS, max_size=CONNECTIONS)
    tenant, committed = new_uuid7(), {}
    ids = [new_uuid7() for _ in range(count)]
    bodies = [entry(id_, tenant, k) for k, id_ in enumerate(ids)]

    async def one(id_: UUID, body: bytes) -> None:
        at = SystemClock().now()
        row = {"id": id_, "tenant": tenant, "kind": "transfer.posted", "at": at, "body": body}
        async with pool.acquire() as connection:
            await connection.execute(_INSERT, *(row[name] for name in _NAMES))
        committed[id_] = time.perf_counter()

    begun, tasks = time.perf_counter(), []
    for k, (id_, body) in enumerate(zip(ids, bodies, strict=True)):
        if (early := begun + k / per_s - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        tasks.append(asyncio.create_task(one(id_, body)))
    await asyncio.gather(*tasks)
    await pool.close()
    return committed


async def _numbers(db: Database, committed: dict[UUID, float]) -> list[tuple[int, float]]:
    """Number and time of commit of each entry, in order. Raises RuntimeError if one is lost."""
    async with db.read() as s:
        rows = await s.all("SELECT entry_id, seq FROM audit_sequence ORDER BY seq")
    found = [(row.seq, committed[row.entry_id]) for row in rows if row.entry_id in committed]
    if len(found) != len(committed):
        raise RuntimeError(f"{len(committed)} committed, {len(found)} numbered")
    return found


def _waits(numbers: list[tuple[int, float]], published: list[tuple[int, float]]) -> list[float]:
    waits, outs = [], iter(sorted(published))
    size, at = next(outs)
    for seq, committed in numbers:
        while size <= seq:
            size, at = next(outs)
        waits.append(at - committed)
    return waits

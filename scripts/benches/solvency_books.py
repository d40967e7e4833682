"""One epoch's tree out of real tables, as the worker makes it: from the snapshot to stored leaves.

A process of its own plays the worker, so that its memory and its event loop are only this; the
process that it starts to read and grow is the service's own. PostgreSQL's processes are watched.
Whole root and a hundred stored proofs are checked at the end.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
from sqlalchemy import Row

from api.migrations.run import upgrade
from custody.assurance.solvency import check, compute, growing, layout, models, own, states
from custody.assurance.solvency.growing import Asked, Grown
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.states import State
from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.ids import CustomerId, TenantId, new_uuid7
from custody.core.money import AssetId
from custody.core.serialization import dumps_text
from custody.ledger import assets
from custody.parties import tenants

DATABASE, CHAIN, TICK_S, PROOFS = "bench", 31337, 0.005, 100
SECRET, CHALLENGE = b"\x01" * 32, b"\x02" * 32

_CUSTOMERS = """
INSERT INTO customers (tenant_id, id, reference, created_at)
SELECT $1, uuidv7(), 'c' || n, now() FROM generate_series(1, $2) AS n
"""
# From one unit to some 2^70, as coins of 18 decimals have them.
_ACCOUNTS = """
INSERT INTO accounts (id, tenant_id, code, asset_id, kind, owner_id, credits_posted)
SELECT uuidv7(), c.tenant_id, 'liability:customer:cus_' || replace(c.id::text, '-', ''), a.id,
       'liability', c.id,
       trunc(power(10::numeric, trunc(random() * 20)::int) * random()::numeric) + 1
FROM customers AS c CROSS JOIN unnest($2::text[]) AS a(id) WHERE c.tenant_id = $1
"""


def asset_ids(count: int) -> list[AssetId]:
    return [AssetId(f"eip155:{CHAIN}/erc20:0x{n:040x}") for n in range(1, count + 1)]


async def fill(postgres: embedded.EmbeddedPostgres, users: int, count: int) -> UUID:
    """A tenant with so many customers, each with a balance of so many assets."""
    embedded.ensure_database(postgres, DATABASE)
    await upgrade(postgres.url(DATABASE, embedded.OWNER_ROLE))
    admin = f"postgresql://postgres@/{DATABASE}?host={postgres.socket}"
    return await plant(admin, postgres.url(DATABASE, embedded.APP_ROLE), users, count)


async def plant(admin_url: str, app_url: str, users: int, count: int) -> UUID:
    """Past triggers and foreign keys, which would take as long again."""
    db = Database(app_url)
    async with db.write() as s:
        for n, asset in enumerate(asset_ids(count)):
            await assets.register(s, asset, f"T{n}", 18, CHAIN)
        tenant = (await tenants.create(s, "bench", 0, "xpub", at=SystemClock().now())).id
    await db.close()
    admin = await asyncpg.connect(admin_url)
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(_CUSTOMERS, tenant, users)
    await admin.execute(_ACCOUNTS, tenant, [str(a) for a in asset_ids(count)])
    await admin.execute("VACUUM ANALYZE customers, accounts")
    await admin.close()
    return tenant


async def measure(postgres: embedded.EmbeddedPostgres, tenant: UUID) -> dict[str, Any]:
    """What the worker says of itself and its process, and what PostgreSQL used meanwhile."""
    url = postgres.url(DATABASE, embedded.APP_ROLE)
    command = [sys.executable, "-m", "scripts.benches.solvency_books", url, str(tenant)]
    async with _watched(postgres.folder) as used:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the worker ended with {process.returncode}")
    return {**json.loads(said), **used}


@asynccontextmanager
async def _watched(folder: Path) -> AsyncIterator[dict[str, float]]:
    """CPU of PostgreSQL's processes for the service, and the most that one had for itself."""
    server = psutil.Process(int((folder / "postmaster.pid").read_text().split("\n")[0]))
    used: dict[str, float] = {"postgres_s": 0, "postgres_mib": 0}
    watching = asyncio.create_task(_watch(server, used))
    try:
        yield used
    finally:
        watching.cancel()


async def _watch(server: psutil.Process, used: dict[str, float]) -> None:
    """What each had used when it was last seen counts: a fifth of a second is lost of each."""
    seen: dict[int, float] = {}
    while True:
        for process in server.children():
            try:
                if embedded.APP_ROLE in " ".join(process.cmdline()):
                    seen[process.pid] = sum(process.cpu_times()[:2])
                    own_mib = process.memory_full_info().uss / 2**20
                    used["postgres_mib"] = round(max(used["postgres_mib"], own_mib), 1)
            except psutil.NoSuchProcess:
                continue
        used["postgres_s"] = round(sum(seen.values()), 2)
        await asyncio.sleep(0.2)


# --- in the process that plays the worker --------------------------------------------------------


async def work(url: str, tenant: TenantId) -> dict[str, Any]:
    """Raises RuntimeError where sums or proofs are wrong."""
    db, stalls = Database(url), Stalls()
    row = await _epoch(db, tenant)
    beating = asyncio.create_task(_beat(stalls))
    begin, cpu = time.perf_counter(), time.process_time()
    context, made, read_s = await _grown(db, row)
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    beating.cancel()
    own_mib, theirs = _peak_mib(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    await _check(db, row, context, made)
    await db.close()
    return {
        "wall_s": round(wall_s, 2),
        "read_s": round(read_s, 2),
        "stall_ms": round(stalls.clock_s * 1_000, 1),
        "stall_cpu_ms": round(stalls.cpu_s * 1_000, 1),
        "worker_s": round(cpu_s, 2),
        "worker_mib": own_mib,
        "tree_s": round(theirs.ru_utime + theirs.ru_stime, 2),
        "tree_mib": _peak_mib(resource.RUSAGE_CHILDREN),
    }


def _peak_mib(whose: int) -> float:
    return round(resource.getrusage(whose).ru_maxrss / 1024, 1)


@dataclass
class Stalls:
    """The longest time that somebody who wants to run every 5 ms had to wait beyond that: by the
    clock, and what this process itself did meanwhile, whoever else uses the machine."""

    clock_s: float = 0
    cpu_s: float = 0


async def _beat(stalls: Stalls) -> None:
    while True:
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(TICK_S)
        stalls.clock_s = max(stalls.clock_s, time.perf_counter() - begin - TICK_S)
        stalls.cpu_s = max(stalls.cpu_s, time.process_time() - cpu)


async def _epoch(db: Database, tenant: TenantId) -> Row[Any]:
    now = SystemClock().now()
    row = {
        "tenant_id": tenant, "epoch": 1, "state": "challenged", "entity": "log.example/bench",
        "secret": SECRET, "commitment": layout.commitment(SECRET), "chain_id": CHAIN,
        "block_number": 5, "window_blocks": 4, "floors": {str(CHAIN): "1"}, "seq_floor": 0,
        "challenge": CHALLENGE, "opened_entry": new_uuid7(), "created_at": now, "updated_at": now,
    }  # fmt: skip
    async with db.write() as s:
        await s.execute(models.solvency_epochs.insert(), row)
        return await s.one(models.solvency_epochs.select())


async def _grown(db: Database, row: Row[Any]) -> tuple[Context, Grown, float]:
    """As `compute.step` does it, without what it asks of chains; and the time until all is read."""
    begin = time.perf_counter()
    async with AsyncExitStack() as stack:
        async with db.snapshot() as s:
            asked = Asked(TenantId(row.tenant_id), {CHAIN: 10**6}, 0)
            grower = await stack.enter_async_context(growing.grower(db, s, asked))
        found = await grower.found()
        read_s = time.perf_counter() - begin
        context = Context(row.entity, 1, CHALLENGE, found.assets, found.prices)
        made = await grower.grow(SECRET, context)
        async with db.write() as s:
            head = dumps_text({"context": context.to_json()})
            await states.move(s, row, State.COMPUTED, SystemClock().now(), head=head)
            async for page in grower.pages():
                await compute.store(s, row, page)
    return context, made, read_s


_SUMS = "SELECT sum(credits_posted) AS owed FROM accounts GROUP BY asset_id ORDER BY asset_id"
_SOME = "SELECT id FROM customers ORDER BY id LIMIT :most"


async def _check(db: Database, row: Row[Any], context: Context, made: Grown) -> None:
    async with db.snapshot() as s:
        if made.root.sums != tuple(int(r.owed) for r in await s.all(_SUMS)):
            raise RuntimeError("the root's sums are not the accounts'")
        stored = await s.one(models.solvency_epochs.select())
        for r in await s.all(_SOME, {"most": PROOFS}):
            found = await own.leaf_proof(s, stored, CustomerId(r.id))
            if found is None or check.root_of(found) != made.root:
                raise RuntimeError("a stored proof does not lead to the root")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(sys.argv[1], TenantId(UUID(sys.argv[2]))))))

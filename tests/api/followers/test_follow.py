"""Followers see every entry in order and without a gap: recorders once, senders at least once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from api.followers import follow, tenant_events
from api.followers.tenant_events import TenantEvents
from custody.audit import sequence
from custody.audit.reads import Entry
from custody.core.clock import FixedClock
from custody.core.db import Database, WriteSession
from custody.core.errors import Broken
from custody.core.ids import TenantId
from tests.custody.audit.entries import AT, TENANT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

CLOCK = FixedClock(AT)
OTHER = UUID("01900000-0000-7000-8000-000000000002")


class Wire:
    """A sender whose receiver keeps what it gets; it can break before or after."""

    name = "wire"

    def __init__(self) -> None:
        self.got: list[int] = []
        self.breaks_after: int | None = None

    async def send(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if len(self.got) == self.breaks_after:
                self.breaks_after = None
                raise ConnectionError
            self.got.append(entry.seq)


class Dies(Exception):
    pass


async def test_only_what_is_signed_is_told(database: Database, tmp_path: Path) -> None:
    wire = Wire()
    await add(database, 3)
    assert await follow.send_once(database, wire, CLOCK) == 0
    await sequence.run_all(database)
    assert await follow.send_once(database, wire, CLOCK) == 0
    await sign_log(database, LogSigner(), tmp_path)
    await add(database, 2)
    await sequence.run_all(database)
    assert await follow.send_once(database, wire, CLOCK, batch=2) == 2
    assert await follow.send_once(database, wire, CLOCK, batch=2) == 1
    assert await follow.send_once(database, wire, CLOCK, batch=2) == 0
    assert wire.got == [0, 1, 2]


async def test_a_sender_that_breaks_sends_again_with_the_same_numbers(
    database: Database, tmp_path: Path
) -> None:
    """At least once; by the numbers the receiver makes it once."""
    wire = Wire()
    await add(database, 10)
    await sign_log(database, LogSigner(), tmp_path)
    for breaks_after in (3, 7):
        wire.breaks_after = breaks_after
        with pytest.raises(ConnectionError):
            await follow.send_once(database, wire, CLOCK, batch=5)
        async with database.read() as s:
            assert await follow.cursor(s, "wire") == 0
    while await follow.send_once(database, wire, CLOCK, batch=5):
        pass
    assert wire.got == [0, 1, 2, 0, 1, 2, 3, *range(10)]
    assert list(dict.fromkeys(wire.got)) == list(range(10))


async def test_two_senders_at_once_never_pass_over_an_entry(
    database: Database, tmp_path: Path
) -> None:
    """Without the lease that the worker takes: sent twice, but the cursor is never wrong."""
    wire = Wire()
    await add(database, 30)
    await sign_log(database, LogSigner(), tmp_path)

    async def work() -> None:
        while await follow.send_once(database, wire, CLOCK, batch=4):
            await asyncio.sleep(0)

    await asyncio.gather(work(), work(), work())
    assert set(wire.got) == set(range(30))
    async with database.read() as s:
        assert await follow.cursor(s, "wire") == 30


async def test_a_recorder_that_dies_leaves_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its effect and before its cursor, or at any other statement."""
    await add(database, 6)
    await sign_log(database, LogSigner(), tmp_path)
    execute = WriteSession.execute
    for at in range(1, 6):
        count = 0

        async def dying(self: WriteSession, *args: object, at: int = at, **more: object) -> object:
            nonlocal count
            count += 1
            if count == at:
                raise Dies
            return await execute(self, *args, **more)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(WriteSession, "execute", dying)
            with pytest.raises(Dies):
                await follow.record_once(database, TenantEvents(), CLOCK)
        async with database.read() as s:
            assert await tenant_events.feed(s, TenantId(TENANT), 0, 10) == []
    assert await follow.record_all(database, TenantEvents(), CLOCK) == 6
    async with database.read() as s:
        events = await tenant_events.feed(s, TenantId(TENANT), 0, 10)
    assert [(e.number, e.seq) for e in events] == [(i, i) for i in range(6)]


async def test_each_tenants_events_are_numbered_without_a_gap(
    database: Database, tmp_path: Path
) -> None:
    signer = LogSigner()
    for count, tenant in ((2, TENANT), (3, OTHER), (1, TENANT), (2, OTHER)):
        await add(database, count, tenant)
    await sign_log(database, signer, tmp_path)

    async def record() -> int:
        return await follow.record_once(database, TenantEvents(), CLOCK, batch=3)

    assert sum(await asyncio.gather(*(record() for _ in range(5)))) == 8
    await add(database, 1, TENANT)
    await sign_log(database, signer, tmp_path)
    assert await follow.record_all(database, TenantEvents(), CLOCK) == 1
    async with database.read() as s:
        ours = await tenant_events.feed(s, TenantId(TENANT), 0, 10)
        theirs = await tenant_events.feed(s, TenantId(OTHER), 1, 2)
    assert [(e.number, e.seq) for e in ours] == [(0, 0), (1, 1), (2, 5), (3, 8)]
    assert [(e.number, e.seq) for e in theirs] == [(1, 3), (2, 4)]


@pytest.mark.tampers
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM tenant_events WHERE seq = 1",
        "UPDATE tenant_events SET number = number + 1 WHERE seq = 3",
        "UPDATE tenant_events SET kind = 'x' WHERE seq = 0",
        "UPDATE followers SET next_seq = 2",
        "UPDATE followers SET next_seq = 5",
    ],
)
async def test_fsck_makes_the_feed_again(
    database: Database, owner_database: Database, tmp_path: Path, sql: str
) -> None:
    await add(database, 4)
    await sign_log(database, LogSigner(), tmp_path)
    await follow.record_all(database, TenantEvents(), CLOCK)
    await add(database, 1)
    await sequence.run_all(database)
    async with database.read() as s:
        assert await tenant_events.check(s) == []
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE tenant_events DISABLE TRIGGER USER")
        assert (await s.execute(sql)).rowcount == 1
    async with database.read() as s:
        assert {b.rule for b in await tenant_events.check(s)} == {"tenant_events"}


@pytest.mark.tampers
async def test_a_gap_stops_a_follower(
    database: Database, owner_database: Database, tmp_path: Path
) -> None:
    await add(database, 4)
    await sign_log(database, LogSigner(), tmp_path)
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE audit_sequence DISABLE TRIGGER USER")
        await s.execute("DELETE FROM audit_sequence WHERE seq = 2")
    with pytest.raises(Broken, match="gap after entry 0"):
        await follow.send_once(database, Wire(), CLOCK)

"""Followers of the log: each has a durable cursor and sees every entry once, in order, no gaps.

The log is the outbox. A follower gets entries that are under a signed checkpoint, so nobody is told
what the log might not say after all. There are two kinds: a `Recorder` writes to this database, in
the commit that moves its cursor: exactly once. A `Sender` acts outside: what it was sent may come
again after a crash, with the same numbers, and whoever receives drops what it has (at least once).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from custody.audit import reads
from custody.audit.reads import Entry
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken

BATCH = 500

_BEGIN = """
INSERT INTO followers (name, next_seq, updated_at) VALUES (:name, 0, :at) ON CONFLICT DO NOTHING
"""
_CURSOR = "SELECT next_seq FROM followers WHERE name = :name"
_MOVE = """
UPDATE followers SET next_seq = :next, updated_at = :at WHERE name = :name AND next_seq = :from
"""


class Recorder(Protocol):
    """Writes what entries mean into this database. `name` is its cursor's, for ever."""

    @property
    def name(self) -> str: ...

    async def record(self, s: WriteSession, entries: Sequence[Entry]) -> None:
        """Entries with numbers that follow each other, all tenants'. Requires no network call."""


class Sender(Protocol):
    """Tells somebody outside. `send` returns once they have it for good."""

    @property
    def name(self) -> str: ...

    async def send(self, entries: Sequence[Entry]) -> None:
        """Raises whatever stops it: the same entries come again."""


async def record_once(db: Database, follower: Recorder, clock: Clock, batch: int = BATCH) -> int:
    """One batch, in one commit with the cursor; how many entries there were."""
    await _begin(db, follower.name, clock.now())
    async with db.write() as s:
        start = int(await s.scalar(f"{_CURSOR} FOR UPDATE", {"name": follower.name}))
        entries = await _next(s, start, batch)
        if entries:
            await follower.record(s, entries)
            await _move(s, follower.name, start, entries, clock.now())
    return len(entries)


async def record_all(db: Database, follower: Recorder, clock: Clock) -> int:
    """All that is signed now."""
    total = 0
    while count := await record_once(db, follower, clock):
        total += count
    return total


async def send_once(db: Database, follower: Sender, clock: Clock, batch: int = BATCH) -> int:
    """One batch, sent outside of any transaction, then the cursor; how many entries there were.

    The caller holds a lease; two at once would both send, and one of them would move the cursor.
    """
    await _begin(db, follower.name, clock.now())
    async with db.read() as s:
        start = await cursor(s, follower.name)
        entries = await _next(s, start, batch)
    if not entries:
        return 0
    await follower.send(entries)
    async with db.write() as s:
        await _move(s, follower.name, start, entries, clock.now())
    return len(entries)


async def cursor(s: ReadSession, name: str) -> int:
    """The number of the first entry that the follower has not had; 0 for one that never ran."""
    return int(await s.scalar(_CURSOR, {"name": name}) or 0)


async def _begin(db: Database, name: str, at: datetime) -> None:
    async with db.write() as s:
        await s.execute(_BEGIN, {"name": name, "at": at})


async def _next(s: ReadSession, start: int, batch: int) -> list[Entry]:
    """Signed entries from `start` on. Raises Broken where a number is missing."""
    signed = int(await s.scalar("SELECT coalesce(max(size), 0) FROM audit_checkpoints"))
    entries = await reads.entries(s, start, min(batch, max(0, signed - start)))
    if [e.seq for e in entries] != list(range(start, start + len(entries))):
        raise Broken(f"the log has a gap after entry {start}")
    return entries


async def _move(
    s: WriteSession, name: str, start: int, entries: Sequence[Entry], at: datetime
) -> None:
    """The cursor goes on from where it was read, or not at all: somebody else has moved it."""
    params = {"name": name, "next": entries[-1].seq + 1, "from": start, "at": at}
    await s.execute(_MOVE, params)

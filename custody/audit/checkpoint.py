"""Checkpoints: entries into tiles, the root stored, then signed, then published.

Each step is repeatable and its result is the same bytes: (1) the batch numbered and its (size,
root) stored, in one commit, (2) the signer asked, and tiles made durable on disk meanwhile, (3) the
note committed, (4) the file `checkpoint` replaced. A crash anywhere resumes at the stored root, so
one size never gets two roots.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Row

from custody.audit import edge, merkle, note, published, sequence, tiles
from custody.audit.disk import Disk, alone, make_durable, write_all
from custody.audit.edge import Edge
from custody.audit.sequence import Numbered
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ports import CHECKPOINT_OLD, Signer, SignerRefused

T = TypeVar("T")

INTEGRATE_BATCH = 64 * tiles.WIDTH
"""Entries that are read and written at a time where many have a number already."""
INTEGRATE_BYTES = 2**26
"""At most so many bytes of them, where that is less."""
RUN_MAX = 8
"""Full batches of one run: whoever triggers runs looks at its lease and its end in between."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed tree head. `note` is the C2SP signed note; `root` is 32 bytes."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


async def latest_checkpoint(s: ReadSession) -> Checkpoint | None:
    row = await s.first(
        "SELECT size, root, note, signed_at FROM audit_checkpoints ORDER BY size DESC LIMIT 1"
    )
    return None if row is None else Checkpoint(**row._mapping)


async def checkpoint_of(s: ReadSession, size: int) -> Checkpoint | None:
    """The checkpoint of exactly `size` entries."""
    row = await s.first(
        "SELECT size, root, note, signed_at FROM audit_checkpoints WHERE size = :size",
        {"size": size},
    )
    return None if row is None else Checkpoint(**row._mapping)


# `staged` is what an unfinished run has stored for the signer; `numbered` is the size of the log.
# What waits is asked of the index, which forgets deleted rows long before a vacuum comes.
_STATE = """
SELECT coalesce(c.size, 0) AS size, c.root, c.note,
       (SELECT coalesce(max(seq) + 1, 0) FROM audit_sequence) AS numbered,
       (SELECT min(r.size) FROM audit_roots r WHERE r.size > coalesce(c.size, 0)) AS staged,
       (SELECT min(ordinal) FROM audit_pending) IS NOT NULL AS waiting
FROM (SELECT) AS one LEFT JOIN
     (SELECT size, root, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1) c ON true
"""


@dataclass(frozen=True, slots=True)
class _Growth:
    """What a batch makes of the tree: the edge after it, and the tiles that are new."""

    edge: Edge
    made: list[tiles.Tile]
    head: note.TreeHead


class _Elsewhere(Exception):
    """Somebody without a lease has taken the batch: nothing was written, look again."""


class LogWriter:
    """The one that numbers, integrates, signs and publishes. The caller holds a lease.

    It keeps the tree's right edge from batch to batch, and reads it from the tiles when it starts,
    after anything went wrong, and when somebody else has written meanwhile.
    """

    def __init__(
        self,
        db: Database,
        signer: Signer,
        log_vkey: str,
        folder: Path,
        clock: Clock,
        disk: Disk | None = None,
    ) -> None:
        self._db, self._signer, self._clock = db, signer, clock
        self._key = note.LogKey.parse(log_vkey)
        self._tree, self._disk = tiles.TileFolder(folder), disk or Disk()
        self._edge: tuple[Edge, bytes] | None = None  # with its root
        self._published: str | None = None
        self._is_durable = False  # the folder's own name

    async def step(self) -> int:
        """Publish one batch: what a run before left unfinished, else what waits for numbers.

        How many entries it had. Raises Broken when rows, tiles and the last checkpoint do not
        agree: nothing is signed then. Raises SignerRefused or SignerUnavailable. Whatever it
        raises, what is committed has its numbers: who follows the log waits neither for a
        signature nor for a disk. Only where the rows are not those that are published, which is
        Forked, nothing gets a number either: it would be a second entry of that number.
        """
        try:
            return await self._step()
        except published.Forked:
            raise
        except Exception:
            await sequence.run_all(self._db)
            raise

    async def _step(self) -> int:
        found = await self._state()
        at = await self._edge_at(found)
        if found.numbered > found.size:
            return await self._finish(at, await self._unfinished(at, found))
        if not found.waiting:
            await self._publish(found.note, found.size)
            return 0
        try:
            growth = await self._number(at)
        except _Elsewhere:
            return 0
        return await self._finish(at, growth)

    async def run(self) -> int:
        """Batches until one is not full, at most RUN_MAX; how many entries. Raises what `step`
        does."""
        total = 0
        for _ in range(RUN_MAX):
            total += (count := await self.step())
            if count < sequence.BATCH:
                break
        return total

    async def catch_up(self) -> None:
        """Publish all that has a number, and number nothing. Raises what `step` does."""
        found = await self._state()
        at = await self._edge_at(found)
        while found.numbered > found.size:
            await self._finish(at, await self._unfinished(at, found))
            found = await self._state()
            at = await self._edge_at(found)
        await self._publish(found.note, found.size)

    async def _state(self) -> Row[Any]:
        async with self._db.read() as s:
            found = await s.one(_STATE)
        if found.numbered < found.size:
            raise Broken(f"{found.numbered} entries are numbered, but {found.size} were signed")
        if found.staged is not None and found.numbered < found.staged:
            raise Broken(f"{found.numbered} entries are numbered, but {found.staged} have a root")
        return found

    async def _number(self, at: Edge) -> _Growth:
        """A batch gets its numbers and its root in one commit. Raises _Elsewhere."""
        async with self._db.write() as s:
            batch = await sequence.number(s)
            if not batch or batch[0].seq != at.size:
                raise _Elsewhere
            growth = self._grown(at, batch)
            await _stage(s, growth.head, self._clock.now())
        return growth

    async def _unfinished(self, at: Edge, found: Row[Any]) -> _Growth:
        """What has numbers, but no checkpoint: up to a stored root, if there is one."""
        end = found.staged or await self._end(at.size, found.numbered)
        growth = self._grown(at, await self._rows(at.size, end))
        async with self._db.write() as s:
            await _stage(s, growth.head, self._clock.now())
        return growth

    def _grown(self, at: Edge, batch: list[Numbered]) -> _Growth:
        """Raises Broken if an entry is not what was numbered."""
        _check(batch)
        grown, made = at.grow([e.body for e in batch], [e.leaf_hash for e in batch])
        return _Growth(grown, made, note.TreeHead(self._key.name, grown.size, grown.root()))

    async def _finish(self, at: Edge, growth: _Growth) -> int:
        """From stored root to published checkpoint."""
        head, self._edge = growth.head, None
        writing = asyncio.create_task(self._write(growth))
        try:
            signature = await self._signature(at, growth, writing)
        finally:
            await writing
        signed = note.encode(head.text(), self._key, signature)
        async with self._db.write() as s:
            await _store(s, Checkpoint(head.size, head.root, signed, self._clock.now()))
        await self._publish(signed, head.size)
        self._edge = growth.edge, head.root
        return head.size - at.size

    async def _signature(self, at: Edge, growth: _Growth, writing: asyncio.Task[None]) -> bytes:
        """With the proof that the tree goes on from the last checkpoint, or from the size that the
        signer remembers: it was restored, or this database was."""
        head = growth.head
        proof = edge.consistency(at, growth.made, head.size)
        try:
            return await self._signer.sign_checkpoint(
                head.origin, head.size, head.root, at.size, proof
            )
        except SignerRefused as refused:
            if refused.rule != CHECKPOINT_OLD:
                raise
            old = int(refused.detail)
        await writing
        proof = merkle.consistency_proof(self._tree.node(head.size), old, head.size)
        return await self._signer.sign_checkpoint(head.origin, head.size, head.root, old, proof)

    async def _edge_at(self, found: Row[Any]) -> Edge:
        """The edge at the last checkpoint. Raises Broken unless it has the root that was signed,
        and Forked unless what is published is of these rows."""
        root = found.root or merkle.EMPTY_ROOT
        if self._edge is None or self._edge[1] != root or not self._is_there():
            head = published.head(self._tree.folder, self._key)
            if head is not None:
                async with self._db.read() as s:
                    await published.require_known(s, head)
                    await published.require_nothing_beyond(s, self._tree.folder, head)
            self._edge = await self._loaded(found), root
        return self._edge[0]

    async def _loaded(self, found: Row[Any]) -> Edge:
        if not found.size:
            return Edge()
        begin = found.size // tiles.WIDTH * tiles.WIDTH
        rows = await self._rows(begin, found.size)
        try:
            at = edge.load(self._tree, found.size, [e.body for e in rows])
        except FileNotFoundError:
            return await self._rebuilt(found)
        if at.root() != found.root:
            raise Broken(f"the tiles do not have the root that was signed at size {found.size}")
        _check(rows)
        if [row.leaf_hash for row in rows] != list(at.tails[0]):
            raise Broken(f"the tiles and the rows from {begin} on do not have the same hashes")
        return at

    async def _rebuilt(self, found: Row[Any]) -> Edge:
        """The folder was lost: the rows make it again."""
        at = Edge()
        while at.size < found.size:
            end = await self._end(at.size, found.size)
            growth = self._grown(at, await self._rows(at.size, end))
            await self._write(growth)
            at = growth.edge
        if at.root() != found.root:
            raise Broken(f"the log no longer has the root it was signed with at {found.size}")
        return at

    async def _end(self, begin: int, last: int) -> int:
        """Up to where to read at a time; short of `last` at the end of a tile, so that none is
        written in parts. Requires `begin` < `last`."""
        most = {"begin": begin, "end": min(last, begin + INTEGRATE_BATCH), "bytes": INTEGRATE_BYTES}
        async with self._db.read() as s:
            end = int(await s.scalar(_END, most) or 0)
        if end <= begin:
            raise Broken(f"the numbers from {begin} to {last} have a gap")
        full = end // tiles.WIDTH * tiles.WIDTH
        return end if end == last or full <= begin else full

    async def _rows(self, begin: int, end: int) -> list[Numbered]:
        if begin == end:
            return []
        async with self._db.read() as s:
            rows = await s.all(_ROWS, {"begin": begin, "end": end})
        if [row.seq for row in rows] != list(range(begin, end)):
            raise Broken(f"the numbers from {begin} to {end} have a gap")
        return [Numbered(row.seq, row.body, row.leaf_hash) for row in rows]

    async def _write(self, growth: _Growth) -> None:
        await self._on_disk(lambda: self._tree.write(growth.made, self._disk))

    async def _publish(self, signed: str | None, size: int) -> None:
        """Replace the file `checkpoint`, never by an older one."""
        if signed is None or (signed == self._published and self._is_there()):
            return
        newer = await self._on_disk(lambda: self._replace(signed, size))
        if newer is not None:
            async with self._db.read() as s:
                if await checkpoint_of(s, newer) is None:
                    raise Broken(f"the published checkpoint of size {newer} is not in the database")
        self._published = signed

    def _is_there(self) -> bool:
        """Whether the folder still has a log in it: else the rows must make it again."""
        return (self._tree.folder / tiles.CHECKPOINT).exists()

    def _replace(self, signed: str, size: int) -> int | None:
        """None when `signed` is published now, else the size of the newer one that is."""
        path = self._tree.folder / tiles.CHECKPOINT
        if path.exists() and path.read_bytes() == signed.encode():
            return None
        there = published.head(self._tree.folder, self._key)
        if there is not None and there.size > size:
            return there.size
        write_all(self._disk, self._tree.folder, {tiles.CHECKPOINT: signed.encode()})
        return None

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """In a thread: others of this process need not wait for a disk."""

        def run() -> T:
            if not (self._is_durable and self._tree.folder.is_dir()):
                make_durable(self._disk, self._tree.folder)
                self._is_durable = True
            with alone(self._tree.folder):
                return work()

        return await asyncio.to_thread(run)


async def sign_once(
    db: Database, signer: Signer, log_vkey: str, folder: Path, clock: Clock
) -> Checkpoint | None:
    """Bring the signed log up to what is numbered; None when it already was.

    For tools and tests; the worker keeps a LogWriter. Raises what `LogWriter.step` does.
    """
    writer = LogWriter(db, signer, log_vkey, folder, clock)
    async with db.read() as s:
        before = await latest_checkpoint(s)
    await writer.catch_up()
    async with db.read() as s:
        after = await latest_checkpoint(s)
    return None if after == before else after


def _check(batch: list[Numbered]) -> None:
    leaves = merkle.leaf_hashes(entry.body for entry in batch)
    for entry, leaf in zip(batch, leaves, strict=True):
        if leaf != entry.leaf_hash:
            raise Broken(f"entry {entry.seq} is not what was numbered")


_ROWS = """
SELECT s.seq, e.body, s.leaf_hash FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
WHERE s.seq >= :begin AND s.seq < :end ORDER BY s.seq
"""


_END = """
SELECT max(seq) + 1 FROM (
    SELECT s.seq, sum(octet_length(e.body)) OVER (ORDER BY s.seq) AS bytes
    FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
    WHERE s.seq >= :begin AND s.seq < :end
) AS sums WHERE bytes <= :bytes OR seq = :begin
"""

_STAGE = """
INSERT INTO audit_roots (size, root, created_at) VALUES (:size, :root, :at)
ON CONFLICT (size) DO NOTHING RETURNING root
"""


async def _stage(s: WriteSession, head: note.TreeHead, at: datetime) -> None:
    """Store (size, root) before anybody signs it. Raises Broken if the size has another root."""
    stored = await s.scalar(_STAGE, {"size": head.size, "root": head.root, "at": at})
    if stored is None:
        stored = await s.scalar("SELECT root FROM audit_roots WHERE size = :n", {"n": head.size})
    if stored != head.root:
        raise Broken(f"size {head.size} was staged with another root")


async def _store(s: WriteSession, done: Checkpoint) -> None:
    await s.execute(
        "INSERT INTO audit_checkpoints (size, root, note, signed_at)"
        " VALUES (:size, :root, :note, :at)",
        {"size": done.size, "root": done.root, "note": done.note, "at": done.signed_at},
    )

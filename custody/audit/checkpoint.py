"""Checkpoints: leaves into tiles, the root stored, then signed, then published.

Each step is repeatable and its result is the same bytes: (1) tiles on disk, (2) the row
(size, root) committed, (3) the signer asked, (4) the note committed, (5) the file `checkpoint`
replaced. A crash anywhere resumes at the stored root, so one size never gets two roots. The caller
holds a lease.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from custody.audit import merkle, note, tiles
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession
from custody.core.errors import Broken
from custody.core.ports import Signer

INTEGRATE_BATCH = 64 * tiles.WIDTH


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


async def sign_once(
    db: Database, signer: Signer, log_vkey: str, folder: Path, clock: Clock
) -> Checkpoint | None:
    """Bring the signed log up to what is numbered; None when it already was.

    Raises Broken when rows, tiles and the last checkpoint do not agree: nothing is signed then.
    Raises SignerRefused or SignerUnavailable.
    """
    key = note.LogKey.parse(log_vkey)
    tree = tiles.TileFolder(folder)
    async with db.read() as s:
        last = await latest_checkpoint(s)
        size = await _size_to_sign(s, last)
    if size is None:
        if last is not None:
            _publish(folder, last.note)
        return None
    await _integrate(db, tree, last, size)
    head = note.TreeHead(key.name, size, tree.root(size))
    await _stage(db, head, clock)
    signature = await signer.sign_checkpoint(head.origin, head.size, head.root)
    signed = note.encode(head.text(), key, signature)
    done = Checkpoint(head.size, head.root, signed, clock.now())
    await _store(db, done)
    _publish(folder, signed)
    return done


async def _size_to_sign(s: ReadSession, last: Checkpoint | None) -> int | None:
    """What an unfinished run has staged, else all that is numbered; None if nothing is new."""
    signed = last.size if last else 0
    staged = await s.scalar(
        "SELECT min(size) FROM audit_roots WHERE size > :signed", {"signed": signed}
    )
    if staged is not None:
        return int(staged)
    size = int(await s.scalar("SELECT coalesce(max(seq) + 1, 0) FROM audit_sequence"))
    if size < signed:
        raise Broken(f"{size} entries are numbered, but {signed} were signed")
    return size if size > signed else None


async def _stage(db: Database, head: note.TreeHead, clock: Clock) -> None:
    """Commit (size, root) before anybody signs it. Raises Broken if the size has another root."""
    async with db.write() as s:
        await s.execute(
            "INSERT INTO audit_roots (size, root, created_at) VALUES (:size, :root, :at)"
            " ON CONFLICT (size) DO NOTHING",
            {"size": head.size, "root": head.root, "at": clock.now()},
        )
        stored = await s.scalar(
            "SELECT root FROM audit_roots WHERE size = :size", {"size": head.size}
        )
    if stored != head.root:
        raise Broken(f"size {head.size} was staged with another root")


async def _integrate(
    db: Database, tree: tiles.TileFolder, last: Checkpoint | None, size: int
) -> None:
    """Write the tiles of a tree of `size`. What was signed before must be its prefix."""
    begin = last.size if last else 0
    try:
        if last is not None and tree.root(last.size) != last.root:
            raise Broken(f"the tiles do not have the root that was signed at size {last.size}")
    except FileNotFoundError:
        begin = 0  # the folder was lost: the rows make it again
    while begin < size:
        end = min(size, (begin // tiles.WIDTH) * tiles.WIDTH + INTEGRATE_BATCH)
        async with db.read() as s:
            await _write_leaves(s, tree, begin, end)
        tree.grow_upper(begin, end)
        begin = end
    if last is not None:
        prefix = merkle.subtree_root(tree.node(size), 0, last.size)
        if prefix != last.root:
            raise Broken(f"the log no longer has the root it was signed with at {last.size}")


_LEAVES = """
SELECT s.seq, s.leaf_hash, e.body FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
WHERE s.seq >= :begin AND s.seq < :end ORDER BY s.seq
"""


async def _write_leaves(s: ReadSession, tree: tiles.TileFolder, begin: int, end: int) -> None:
    """Level 0 and entry bundles of [begin, end), whole tiles at a time."""
    first = begin // tiles.WIDTH * tiles.WIDTH
    rows = await s.all(_LEAVES, {"begin": first, "end": end})
    if [row.seq for row in rows] != list(range(first, end)):
        raise Broken(f"the numbers from {first} to {end} have a gap")
    for row in rows:
        if merkle.leaf_hash(row.body) != row.leaf_hash:
            raise Broken(f"entry {row.seq} is not what was numbered")
    for start in range(0, len(rows), tiles.WIDTH):
        part = rows[start : start + tiles.WIDTH]
        index = (first + start) // tiles.WIDTH
        tree.write(tiles.ENTRIES, index, len(part), tiles.bundle(row.body for row in part))
        tree.write(0, index, len(part), b"".join(row.leaf_hash for row in part))


async def _store(db: Database, done: Checkpoint) -> None:
    async with db.write() as s:
        await s.execute(
            "INSERT INTO audit_checkpoints (size, root, note, signed_at)"
            " VALUES (:size, :root, :note, :at)",
            {"size": done.size, "root": done.root, "note": done.note, "at": done.signed_at},
        )


def _publish(folder: Path, signed: str) -> None:
    path = folder / tiles.CHECKPOINT
    if not path.exists() or path.read_text() != signed:
        tiles.write_file(path, signed.encode())

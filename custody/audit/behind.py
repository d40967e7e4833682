"""What the published log has that this database lacks, and how it comes back in.

A database that came back from a backup has the first entries of the published log; the rest lies
in the folder's entry bundles. Every leaf is held against the published tiles, and all of them
against the signed root: rows that are not the log's first ones, or an entry that was edited, end it
before anything is kept.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from custody.audit import merkle, note, published, sequence, tiles, unpublished
from custody.audit.published import Forked
from custody.core.canonical import Json
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken, Conflict, InvalidInput, Refused
from custody.core.ids import parse_id
from custody.core.ports import CHECKPOINT_OLD, Signer, SignerRefused
from custody.core.serialization import loads

_PAGE_TILES = 64
_NUMBERED = "SELECT coalesce(max(seq) + 1, 0) FROM audit_sequence"
_HASHES = "SELECT leaf_hash FROM audit_sequence WHERE seq >= :begin AND seq < :end ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Gap:
    """The entries from `numbered` up to the published size are not in this database."""

    numbered: int
    head: note.TreeHead
    note: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An entry of the published log; `body` is what its leaf hash is over."""

    seq: int
    id: UUID
    tenant_id: UUID
    kind: str
    at: datetime
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class PutBack:
    """An entry that is numbered again, with its data."""

    seq: int
    id: UUID
    tenant_id: UUID
    kind: str
    at: datetime
    data: dict[str, Json]


async def require_caught_up(db: Database, folder: Path, key: note.LogKey, signed: int = 0) -> None:
    """Raises Forked where more entries are published, or `signed` by the signer, than are numbered
    here: whoever counts along the log would give a number a second time."""
    head = published.head(folder, key)
    size = max(signed, 0 if head is None else head.size)
    async with db.read() as s:
        numbered = int(await s.scalar(_NUMBERED))
    if size > numbered:
        raise Forked(f"{size} entries were published or signed, and {numbered} are here: {NEXT}")


NEXT = "see `moorage log-restore`"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest signed head that is here, with its note. `signed` is the size that the signer
    signed last, `unsigned` that of a tree beyond the head that the folder has and nobody signed; 0
    if there is none."""

    head: note.TreeHead
    note: str
    signed: int
    unsigned: int = 0


async def newest(
    folder: Path, key: note.LogKey, signer: Signer, signed: int, *, sign: bool = True
) -> Newest:
    """What is published, or what the signer signed beyond and nobody was shown.

    `signed` is the size that it says it signed last. A signer that remembers nothing signs a whole
    tree beyond as its first, for it may have been signed; without `sign` that has an empty note.

    Raises Refused where the folder has no log of this key; where tiles are beyond,
    SignerUnavailable, and SignerRefused if it says anything but that it signed another size.
    """
    there = published.head(folder, key)
    if there is None:
        raise Refused(
            "log",
            "must be there: its checkpoint, tiles and entry bundles",
            f"no checkpoint of {key.name} in the log's folder. Bring the folder back (a copy of it,"
            " or of what was served from it, will do). Without its entry bundles this log cannot"
            " go on: the signer signs nothing that does not follow what it signed last",
        )
    text = (folder / tiles.CHECKPOINT).read_text("utf-8")
    more = unpublished.head(folder, there)
    if more is None or more.size < signed:  # a copy of the folder that is older than the signer
        return Newest(there, text, signed)
    if signed == 0 and not sign:
        return Newest(more, "", signed)
    try:
        # Without a proof the signer answers only for what it signed before, or for its first.
        signature = await signer.sign_checkpoint(more.origin, more.size, more.root)
    except SignerRefused as refused:
        if refused.rule != CHECKPOINT_OLD:
            raise
        return Newest(there, text, signed, more.size)
    return Newest(more, note.encode(more.text(), key, signature), signed)


async def has_numbered(s: ReadSession, size: int) -> bool:
    """Whether so many entries have numbers here."""
    return int(await s.scalar(_NUMBERED)) >= size


async def find(s: ReadSession, last: Newest) -> Gap | None:
    """None where nothing is missing.

    Raises Forked where the database has another log, and Refused where more was signed than there
    is here: what does not go on from it gets no signature, and an entry put back would stay.
    """
    numbered = int(await s.scalar(_NUMBERED))
    if last.signed > max(last.head.size, numbered):
        raise Refused(
            "log",
            "must have every entry that was signed",
            f"{last.signed} entries were signed, and the log's folder has {last.head.size}: bring a"
            " newer copy of it",
        )
    if last.head.size <= numbered:
        await published.require_known(s, last.head)
        return None
    return Gap(numbered, last.head, last.note)


async def pages(s: ReadSession, folder: Path, gap: Gap) -> AsyncIterator[list[Missing]]:
    """The missing entries, up to 256 at a time. What was given is good only once all was: the root
    is compared at the end. Raises Forked, or Refused where a file is missing."""
    tree, frontier = tiles.TileFolder(folder), merkle.Frontier()
    try:
        await _follow_rows(s, tree, gap, frontier)
        for index in range(gap.numbered // tiles.WIDTH, -(-gap.head.size // tiles.WIDTH)):
            page = [e for e in _of_tile(tree, index, gap.head.size) if e.seq >= gap.numbered]
            frontier.extend([entry.leaf_hash for entry in page])
            yield page
    except FileNotFoundError as error:
        rule = "must have every tile and entry bundle"
        raise Refused("log", rule, f"{error.filename or error} is missing") from None
    if frontier.root() != gap.head.root:
        raise Forked(f"the tiles do not have the root that was signed at size {gap.head.size}")


async def _follow_rows(
    s: ReadSession, tree: tiles.TileFolder, gap: Gap, frontier: merkle.Frontier
) -> None:
    """Our rows, hash for hash the first of the published log."""
    while frontier.size < gap.numbered:
        begin = frontier.size
        end = min(gap.numbered, begin + _PAGE_TILES * tiles.WIDTH)
        rows = await s.all(_HASHES, {"begin": begin, "end": end})
        here = [bytes(row.leaf_hash) for row in rows]
        if len(here) != end - begin:
            raise Broken(f"the numbers from {begin} to {end} have a gap")
        there = list(_hashes(tree, gap, begin, end))
        if here != there:
            seq = begin + next(i for i, ours in enumerate(here) if ours != there[i])
            raise Forked(f"entry {seq} of this database is not the published one")
        frontier.extend(here)


def _hashes(tree: tiles.TileFolder, gap: Gap, begin: int, end: int) -> Iterator[bytes]:
    """Requires that `begin` is the first of a tile."""
    for index in range(begin // tiles.WIDTH, -(-end // tiles.WIDTH)):
        yield from tree.hashes(0, index, gap.head.size)[: end - index * tiles.WIDTH]


def _of_tile(tree: tiles.TileFolder, index: int, size: int) -> list[Missing]:
    """One entry bundle, each entry held against the tile's hash."""
    hashes = tree.hashes(0, index, size)
    try:
        bodies = tiles.split_bundle(tree.read(tiles.ENTRIES, index, size))
    except ValueError as error:
        raise Forked(f"entry bundle {index}: {error}") from None
    if len(bodies) != len(hashes):
        raise Forked(f"entry bundle {index} has {len(bodies)} entries, its tile {len(hashes)}")
    found = []
    for place, (body, hash_) in enumerate(zip(bodies, hashes, strict=True)):
        seq = index * tiles.WIDTH + place
        if merkle.leaf_hash(body) != hash_:
            raise Forked(f"entry {seq} is not the one that was published: its bundle was edited")
        found.append(_parsed(seq, body, hash_))
    return found


def instant(text: str) -> datetime:
    """A time in the log's form. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _parsed(seq: int, body: bytes, hash_: bytes) -> Missing:
    try:
        entry = loads(body)
        at = instant(entry["at"])
        id_, tenant = parse_id("entry", entry["id"]), parse_id("tenant", entry["tenant"])
        return Missing(seq, id_, tenant, str(entry["kind"]), at, body, hash_)
    except (InvalidInput, KeyError, TypeError, ValueError) as error:
        raise Broken(f"entry {seq} of the published log cannot be read: {error}") from None


_ENTRIES = """
INSERT INTO audit_entries (id, tenant_id, kind, at, body)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:kinds AS text[]),
                     CAST(:ats AS timestamptz[]), CAST(:bodies AS bytea[]))
ON CONFLICT (id) DO NOTHING
"""
_OTHERS = """
SELECT e.id FROM unnest(CAST(:ids AS uuid[]), CAST(:bodies AS bytea[])) AS n(id, body)
JOIN audit_entries e ON e.id = n.id
WHERE e.body <> n.body OR EXISTS (SELECT FROM audit_sequence q WHERE q.entry_id = e.id)
"""
_NUMBERS = """
INSERT INTO audit_sequence (seq, entry_id, leaf_hash)
SELECT * FROM unnest(CAST(:seqs AS bigint[]), CAST(:ids AS uuid[]), CAST(:hashes AS bytea[]))
"""
_WAITS_NO_MORE = "DELETE FROM audit_pending WHERE entry_id = ANY(:ids)"


async def put_back(s: WriteSession, folder: Path, gap: Gap, *, at: datetime) -> None:
    """Every missing entry with its published number, and the checkpoint that is published.

    One that this database has and had not numbered yet gets the number that it was given. Nobody
    else numbers until the transaction ends. Raises what `pages` does, Conflict where somebody
    numbered since `gap` was found, and Forked where an entry is here with other words.
    """
    await s.execute(sequence.LOCK)
    if int(await s.scalar(_NUMBERED)) != gap.numbered:
        raise Conflict("entries were numbered meanwhile: look again")
    async for page in pages(s, folder, gap):
        await _insert(s, page)
    head = {"size": gap.head.size, "root": gap.head.root, "at": at}
    await s.execute(
        "INSERT INTO audit_roots (size, root, created_at) VALUES (:size, :root, :at)", head
    )
    await s.execute(
        "INSERT INTO audit_checkpoints (size, root, note, signed_at)"
        " VALUES (:size, :root, :note, :at)",
        {**head, "note": gap.note},
    )


async def _insert(s: WriteSession, page: Sequence[Missing]) -> None:
    ids, bodies = [e.id for e in page], [e.body for e in page]
    await s.execute(
        _ENTRIES,
        {
            "ids": ids,
            "tenants": [e.tenant_id for e in page],
            "kinds": [e.kind for e in page],
            "ats": [e.at for e in page],
            "bodies": bodies,
        },
    )
    other = await s.first(_OTHERS, {"ids": ids, "bodies": bodies})
    if other is not None:
        raise Forked(f"entry {other.id} is here with other words, or another number")
    numbers = {"seqs": [e.seq for e in page], "ids": ids, "hashes": [e.leaf_hash for e in page]}
    await s.execute(_NUMBERS, numbers)
    await s.execute(_WAITS_NO_MORE, {"ids": ids})


_OF_KINDS = """
SELECT q.seq, e.id, e.tenant_id, e.kind, e.at, e.body
FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id
WHERE q.seq >= :begin AND q.seq < :end AND e.kind = ANY(:kinds) ORDER BY q.seq
"""


async def of_kinds(s: ReadSession, begin: int, end: int, *kinds: str) -> list[PutBack]:
    """Numbered entries of these kinds from `begin` to `end` (excluded), in order."""
    rows = await s.all(_OF_KINDS, {"begin": begin, "end": end, "kinds": list(kinds)})
    return [PutBack(r.seq, r.id, r.tenant_id, r.kind, r.at, _data(r)) for r in rows]


def _data(row: Any) -> dict[str, Json]:
    found: dict[str, Json] = loads(row.body)["data"]
    return found

"""A root that is not ours for a size of ours: both signed sides are kept, and anchoring stops.

Found on a chain, or in a checkpoint that a witness (or anybody) hands in. What only this log's key
or its anchorer's can have made is taken; else strangers could stop the anchoring. The evidence is
a moorage.fork/1 document (ANCHORS.md), for `verify.py fork`.
"""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from custody.assurance import anchor_chains
from custody.audit import log, note, proof
from custody.audit.checkpoint import checkpoint_of, latest_checkpoint
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import TenantId, format_id, new_uuid7
from custody.core.serialization import dumps_text

logger = logging.getLogger(__name__)

SCHEMA = "moorage.fork/1"
OURS, AHEAD, FORK = "ours", "ahead", "fork"


def digest(root: bytes) -> str:
    return "sha256:" + root.hex()


async def our_side(s: ReadSession, folder: Path, size: int) -> dict[str, Any]:
    """What we signed for `size`: the checkpoint, or the newest one with the proof from `size`.

    Raises Broken where the tiles are lost; NotFound where nothing of that size is signed.
    """
    exact, root = await checkpoint_of(s, size), await anchor_chains.root_at(s, folder, size)
    head = exact or await latest_checkpoint(s)
    if head is None or root is None:
        raise NotFound("checkpoint", size)
    hashes: tuple[bytes, ...] = ()
    if exact is None:
        hashes = proof.consistency(proof.from_tiles(folder, head.size), size, head.size).hashes
    return {
        "note": head.note,
        "root": digest(root),
        "consistency": [h.hex() for h in hashes],
    }


_INSERT = """
INSERT INTO log_forks (id, size, root, source, ours, theirs, found_at)
VALUES (:id, :size, :root, :source, CAST(:ours AS jsonb), CAST(:theirs AS jsonb), :at)
ON CONFLICT (size, root, source) DO NOTHING RETURNING id
"""


async def record(
    s: WriteSession,
    tenant_id: TenantId,
    size: int,
    root: bytes,
    source: str,
    ours: dict[str, Any],
    theirs: dict[str, Any],
    *,
    at: datetime,
) -> bool:
    """Keep the evidence and tell the log, in the caller's commit; False if it was known."""
    values = {
        "id": new_uuid7(),
        "size": size,
        "root": root,
        "source": source,
        "ours": dumps_text(ours),
        "theirs": dumps_text(theirs),
        "at": at,
    }
    if await s.first(_INSERT, values) is None:
        return False
    logger.critical(
        "the log is forked: somebody holds a root that is not ours",
        extra={"size": size, "ours": ours["root"], "theirs": digest(root), "source": source},
    )
    data = {"size": str(size), "ours": ours["root"], "theirs": digest(root), "source": source}
    data |= {
        name: theirs[name]
        for name in ("chain_id", "contract", "block_number", "block_hash")
        if name in theirs
    }
    await log.append(s, tenant_id, "log.forked", data, at=at)
    return True


async def standing(s: ReadSession) -> int:
    """How many forks stand, so that nothing is anchored."""
    found = await s.scalar("SELECT count(*) FROM log_forks WHERE dismissed_at IS NULL")
    return int(found)


async def ahead(s: ReadSession) -> tuple[int, int]:
    """Statements that our key signed and this database has not reached: how many, and the largest
    size (0 if none). A checkpoint is stored before it is published, so each is serious."""
    row = await s.one(
        "SELECT count(*) AS number, coalesce(max(size), 0) AS size FROM log_statements"
        " WHERE verdict = 'ahead'"
    )
    return int(row.number), int(row.size)


# --- what others hold -------------------------------------------------------------------------


async def hand_in(
    s: WriteSession,
    tenant_id: TenantId,
    key: note.LogKey,
    folder: Path,
    text: str,
    source: str,
    *,
    at: datetime,
) -> dict[str, str]:
    """Judge a checkpoint that somebody holds; what is not ours is kept.

    `ahead` says that it is signed by our key for a size that this database has not reached: nothing
    is anchored until it has, and it is judged again. Raises InvalidInput unless the log's key
    signed it.
    """
    try:
        head = note.open_checkpoint(text, key)
    except note.NoteInvalid as error:
        raise InvalidInput(
            "note", f"must be a checkpoint signed by {key.name}", str(error)
        ) from None
    if head.size == 0:
        raise InvalidInput("note", "must be of a size above 0")
    ours = await anchor_chains.root_at(s, folder, head.size)
    verdict = AHEAD if ours is None else OURS if ours == head.root else FORK
    if verdict != OURS:
        await _keep(s, head, text, source, verdict, at)
    if verdict == AHEAD:
        logger.critical(
            "our key signed a checkpoint that this database does not have: anchoring stops",
            extra={"size": head.size, "source": source},
        )
    if verdict == FORK:
        await _record_statement(s, tenant_id, folder, head.size, head.root, text, source, at)
    return {"verdict": verdict, "size": str(head.size), "root": digest(head.root)}


_REACHED = """
SELECT size, root, note, source FROM log_statements WHERE verdict = 'ahead'
  AND size <= (SELECT coalesce(max(size), 0) FROM audit_checkpoints) ORDER BY size
"""


async def judge_again(s: WriteSession, tenant_id: TenantId, folder: Path, *, at: datetime) -> int:
    """Statements that were ahead of us, now that our log has their size; how many are forks."""
    found = 0
    for row in await s.all(_REACHED):
        ours = await anchor_chains.root_at(s, folder, row.size) == row.root
        if not ours:
            found += await _record_statement(
                s, tenant_id, folder, row.size, row.root, row.note, row.source, at
            )
        await s.execute(
            "UPDATE log_statements SET verdict = :verdict WHERE size = :size AND root = :root",
            {"verdict": OURS if ours else FORK, "size": row.size, "root": row.root},
        )
    return found


_KEEP = """
INSERT INTO log_statements (size, root, note, source, received_at, verdict)
VALUES (:size, :root, :note, :source, :at, :verdict)
ON CONFLICT (size, root) DO UPDATE SET verdict = excluded.verdict
"""


async def _keep(
    s: WriteSession, head: note.TreeHead, text: str, source: str, verdict: str, at: datetime
) -> None:
    values = {"size": head.size, "root": head.root, "note": text, "source": source}
    await s.execute(_KEEP, {**values, "verdict": verdict, "at": at})


async def _record_statement(
    s: WriteSession,
    tenant_id: TenantId,
    folder: Path,
    size: int,
    root: bytes,
    text: str,
    source: str,
    at: datetime,
) -> bool:
    ours = await our_side(s, folder, size)
    theirs = {"kind": "checkpoint", "root": digest(root), "note": text}
    return await record(s, tenant_id, size, root, source, ours, theirs, at=at)


# --- evidence ---------------------------------------------------------------------------------


_FORKS = """
SELECT id, size, root, source, ours, theirs, found_at, dismissed_at, dismissed_by,
  dismissed_reason FROM log_forks
WHERE (CAST(:after AS uuid) IS NULL OR id > :after) AND (CAST(:one AS uuid) IS NULL OR id = :one)
ORDER BY id LIMIT :limit
"""


async def listing(s: ReadSession, after: UUID | None = None, limit: int | None = None) -> list[Any]:
    """Forks that were ever found, rows of `log_forks`, oldest first; without `limit` all."""
    return list(await s.all(_FORKS, {"after": after, "limit": limit, "one": None}))


def evidence(row: Any, vkey: str) -> dict[str, Any]:
    """The moorage.fork/1 document of a row of `listing`."""
    return {
        "schema": SCHEMA,
        "origin": note.LogKey.parse(vkey).name,
        "log_key": vkey,
        "size": str(row.size),
        "ours": row.ours,
        "theirs": row.theirs,
        "found_at": iso_us(row.found_at),
        "source": row.source,
    }


async def one(s: ReadSession, fork_id: UUID, vkey: str) -> bytes:
    """The evidence of one fork as canonical JSON: a file for `verify.py fork`. Raises NotFound."""
    row = await s.first(_FORKS, {"after": None, "limit": 1, "one": fork_id})
    if row is None:
        raise NotFound("fork", format_id("fork", fork_id))
    return canonical.encode(evidence(row, vkey))


async def for_bundle(s: ReadSession, vkey: str) -> dict[str, bytes]:
    """Files of a bundle: all evidence of forks, also of those that were dismissed."""
    files = {}
    for row in await listing(s):
        name = f"forks/fork-{row.size:016d}-{row.root.hex()[:16]}.json"
        files[name] = canonical.encode(evidence(row, vkey))
    return files

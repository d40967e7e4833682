"""A holder's own proof, and the report as a file: with the log's entries and the anchor."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row

from custody.assurance.solvency import layout, paths, states
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.states import State
from custody.audit import proof
from custody.audit.checkpoint import checkpoint_of
from custody.core import canonical
from custody.core.db import Database, ReadSession
from custody.core.errors import Broken, Conflict, NotFound
from custody.core.ids import CustomerId, TenantId, format_id

Json = dict[str, Any]
ME_SCHEMA = "moorage.solvency.me/1"
FILE_SCHEMA = "moorage.solvency.file/1"
Stored = Literal["report", "page"]
PIECE_BYTES = 2**20


async def own_proof(s: ReadSession, row: Row[Any], customer: CustomerId, folder: Path) -> Json:
    """The whole file for `verify.py me`. Requires a snapshot.

    Raises Conflict before the epoch is served, NotFound for a customer that came after it or an
    epoch whose leaves are erased.
    """
    require_serving(row)
    found = await leaf_proof(s, row, customer)
    if found is None:
        raise NotFound("own proof of epoch", row.epoch)
    return {"schema": ME_SCHEMA, **found, **await _logged(s, row, folder)}


async def report_around(s: ReadSession, row: Row[Any], folder: Path) -> tuple[bytes, bytes]:
    """What stands before and after the stored report in the whole file for `verify.py solvency`,
    into which it is put as it is. Requires a snapshot.

    Raises Conflict as above.
    """
    require_serving(row)
    around = {"schema": FILE_SCHEMA, "report": "", **await _logged(s, row, folder)}
    before, after = canonical.encode(around).split(b'"report":""')
    return before + b'"report":', after


async def pieces(db: Database, row: Row[Any], column: Stored) -> AsyncIterator[bytes]:
    """Report or page of an epoch as it is stored, which never changes, a piece at a time. No
    connection is held while a piece is on its way to whoever asked."""
    key = {"tenant": row.tenant_id, "epoch": row.epoch, "most": PIECE_BYTES}
    piece, start = (
        (
            f"SELECT substring({column} FROM CAST(:start AS int) FOR CAST(:most AS int))"
            " FROM solvency_epochs WHERE tenant_id = :tenant AND epoch = :epoch"
        ),
        1,
    )
    while True:
        async with db.read() as s:
            found = bytes(await s.scalar(piece, {**key, "start": start}))
        if not found:
            return
        yield found
        start += PIECE_BYTES


async def chosen(s: ReadSession, tenant_id: TenantId, epoch: int | None) -> Row[Any]:
    """An epoch by number, or the newest that is served: its light columns, and how many bytes
    report and page have (None: there is none).

    Raises NotFound.
    """
    row = await s.first(
        f"SELECT {states.LIGHT}, octet_length(report) AS report_bytes,"
        " octet_length(page) AS page_bytes FROM solvency_epochs WHERE tenant_id = :tenant"
        " AND CASE WHEN CAST(:epoch AS bigint) IS NULL THEN state = 'serving'"
        " ELSE epoch = CAST(:epoch AS bigint) END ORDER BY epoch DESC LIMIT 1",
        {"tenant": tenant_id, "epoch": epoch},
    )
    if row is None:
        raise NotFound("solvency epoch", "latest" if epoch is None else epoch)
    return row


def require_serving(row: Row[Any]) -> None:
    """Raises Conflict before the epoch is anchored and looked over."""
    if State(row.state) is not State.SERVING:
        raise Conflict(f"epoch {row.epoch} is {row.state}: nothing is given out before its anchor")


_CHUNK = """
SELECT number, records FROM solvency_chunks
WHERE tenant_id = :tenant AND epoch = :epoch AND first_id <= :id ORDER BY number DESC LIMIT 1
"""
_ROOTS = """
SELECT string_agg(root, ''::bytea ORDER BY number) FROM solvency_chunks
WHERE tenant_id = :tenant AND epoch = :epoch
"""


async def leaf_proof(s: ReadSession, row: Row[Any], customer: CustomerId) -> Json | None:
    """Salt, balances and path of a customer's leaf; None where there is none (any more)."""
    if row.secret is None:
        return None
    context = Context.from_json(row.head["context"])
    salt = layout.salt_of(bytes(row.secret), context.hash, customer)
    id_ = layout.id_of(context.hash, salt, customer)
    key = {"tenant": row.tenant_id, "epoch": row.epoch, "id": id_}
    chunk = await s.first(_CHUNK, key)
    if chunk is None:
        return None
    roots = bytes(await s.scalar(_ROOTS, key))
    found = paths.path(id_, chunk.number, bytes(chunk.records), roots, len(context.assets))
    if found is None:
        return None
    return {
        "context": context.to_json(),
        "customer": format_id("customer", customer),
        "salt": "0x" + salt.hex(),
        "index": str(found.index),
        "depth": str(len(found.siblings)),
        "balances": [str(v) for v in found.balances],
        "path": [
            {"hash": "0x" + n.hash.hex(), "sums": [str(v) for v in n.sums]} for n in found.siblings
        ],
    }


_ENTRY = """
SELECT q.seq, e.body FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id
WHERE q.entry_id = :id
"""


# Of the smallest log that has the entry; its block is the latest, whose hash is easy to come by. A
# proof counts while an anchor that it shows is anchored: a reorg may have taken it. Entries are
# proved under a checkpoint, and of what a restore put back only the last one is here.
_ANCHOR = """
SELECT p.chain_id, p.size, p.proof FROM anchor_proofs p
JOIN audit_sequence q ON q.entry_id = :entry AND p.size > q.seq
JOIN audit_checkpoints c ON c.size = p.size
WHERE EXISTS (
  SELECT FROM anchors a WHERE a.chain_id = p.chain_id AND a.state = 'anchored'
  AND a.size > q.seq AND a.size <= p.size)
ORDER BY p.size, p.chain_id, p.block_number DESC LIMIT 1
"""


async def anchor_of(s: ReadSession, entry: UUID | None) -> Row[Any] | None:
    """Chain, size and stored proof of the first anchor that has the entry and whose checkpoint is
    here; None while there is none."""
    return await s.first(_ANCHOR, {"entry": entry})


async def _logged(s: ReadSession, row: Row[Any], folder: Path) -> Json:
    """Both entries under the checkpoint that is anchored, and the anchor's offline proof."""
    found = await anchor_of(s, row.published_entry)
    if found is None:
        raise Conflict(f"epoch {row.epoch}: its anchor is gone, and the next one is not final yet")
    signed = await checkpoint_of(s, found.size)
    if signed is None:
        raise Broken(f"the anchor of size {found.size} has no checkpoint")
    entries = {}
    for name, id_ in (("opened", row.opened_entry), ("published", row.published_entry)):
        entry = await entry_at(s, id_, found.size, folder)
        entries[name] = {**entry, "checkpoint": signed.note}
    return {**entries, "anchor": found.proof}


async def entry_at(s: ReadSession, id_: UUID, size: int, folder: Path) -> Json:
    """An entry with its place in the log of `size`, for which a checkpoint must be signed."""
    found = await s.one(_ENTRY, {"id": id_})
    made = proof.inclusion(proof.from_tiles(folder, size), found.seq, size)
    return {"entry": bytes(found.body).decode(), **made.to_json()}

"""Epochs that the log has and a database that came back from a backup does not.

Their secrets are gone, so nobody can be shown a proof of them: they count as failed here, and the
next epoch has the number after the highest in the log. What was published stays in the log.
"""

from datetime import datetime

from custody.audit import behind, log
from custody.audit.behind import PutBack
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id
from custody.core.serialization import dumps_text

OPENED, PUBLISHED, FAILED = "solvency.opened", "solvency.published", "solvency.failed"
REASON = "the database came back from a backup without it"

_OPENED = """
INSERT INTO solvency_epochs
  (tenant_id, epoch, state, entity, commitment, chain_id, block_number, window_blocks, floors,
   seq_floor, opened_entry, reason, created_at, updated_at)
VALUES (:tenant, :epoch, 'failed', :entity, :commitment, :chain, :block, :window,
   CAST(:floors AS jsonb), 0, :entry, :reason, :at, :at)
ON CONFLICT (tenant_id, epoch) DO NOTHING
"""
_OPENED_BY = """
SELECT opened_entry FROM solvency_epochs WHERE tenant_id = :tenant AND epoch = :epoch
"""
# Where the entry is our own, of a backup that had not numbered it, the epoch goes on.
_ENDED = """
UPDATE solvency_epochs SET state = 'failed', secret = NULL, reason = :reason, updated_at = :at
WHERE tenant_id = :tenant AND epoch = :epoch AND state IN ('opened', 'challenged', 'computed')
RETURNING epoch
"""
_CHUNKS = "DELETE FROM solvency_chunks WHERE tenant_id = :tenant AND epoch = :epoch"


async def put_back(s: WriteSession, begin: int, end: int, *, at: datetime) -> None:
    """Rows for the epochs whose entries are numbered from `begin` to `end` (excluded); one that the
    log neither published nor failed gets its entry. Raises Conflict where an epoch was opened
    again since the database came back."""
    entries = await behind.of_kinds(s, begin, end, OPENED, PUBLISHED, FAILED)
    told = {(e.tenant_id, _epoch(e)) for e in entries if e.kind != OPENED}
    for entry in entries:
        if entry.kind == OPENED:
            if await _lost(s, entry) and (entry.tenant_id, _epoch(entry)) not in told:
                await _fail(s, entry, at)
        else:
            await _end(s, entry)


def _epoch(entry: PutBack) -> int:
    return int(str(entry.data["epoch"]))


async def _lost(s: WriteSession, entry: PutBack) -> bool:
    """Whether the epoch was not here, and has its row now."""
    data = entry.data
    done = await s.execute(
        _OPENED,
        {
            "tenant": entry.tenant_id,
            "epoch": _epoch(entry),
            "entity": data["entity"],
            "commitment": bytes.fromhex(str(data["commitment"]).removeprefix("sha256:")),
            "chain": int(str(data["chain_id"])),
            "block": int(str(data["block_number"])),
            "window": int(str(data["window"])),
            "floors": dumps_text(data["floors"]),
            "entry": entry.id,
            "reason": REASON,
            "at": entry.at,
        },
    )
    if done.rowcount == 1:
        return True
    ours = await s.scalar(_OPENED_BY, {"tenant": entry.tenant_id, "epoch": _epoch(entry)})
    if ours != entry.id:
        raise Conflict(
            f"epoch {_epoch(entry)} of {format_id('tenant', entry.tenant_id)} was opened again"
            " after this database came back: restore the backup once more, and begin with the log"
        )
    return False


async def _end(s: WriteSession, entry: PutBack) -> None:
    """What the log has seen the end of does not go on here."""
    key = {"tenant": entry.tenant_id, "epoch": _epoch(entry)}
    reason = entry.data.get("reason", REASON)
    if await s.first(_ENDED, {**key, "reason": reason, "at": entry.at}) is not None:
        await s.execute(_CHUNKS, key)


async def _fail(s: WriteSession, entry: PutBack, at: datetime) -> None:
    data = {"entity": entry.data["entity"], "epoch": entry.data["epoch"], "reason": REASON}
    await log.append(s, entry.tenant_id, FAILED, data, at=at)

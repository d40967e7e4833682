"""Let anchoring go on in spite of a fork: two people of treasury sign which one, and why is kept.

They sign the document here (`custody/policy/two_people.py`). The log has it, the signatures and a
salted commitment of the reason, which may name people; the reason itself, with its salt, is in the
row.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.assurance.anchor_forks import digest
from custody.audit import log
from custody.audit.commit import commitment, new_salt
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound, Refused
from custody.core.ids import TenantId, format_id
from custody.core.intents import Approval
from custody.policy import two_people

SCHEMA = "moorage.fork-dismissal/1"
_ROW = "SELECT id, size, root, ours, theirs, found_at, dismissed_at FROM log_forks WHERE id = :id"


async def document(s: ReadSession, tenant_id: TenantId, fork_id: UUID) -> dict[str, Json]:
    """What is signed to dismiss a fork: both roots of its size. Raises NotFound, or Refused where
    it was dismissed before."""
    return _document(tenant_id, await _standing(s, fork_id, _ROW))


def _document(tenant_id: TenantId, row: Any) -> dict[str, Json]:
    return {
        "schema": SCHEMA,
        "tenant": format_id("tenant", tenant_id),
        "fork": format_id("fork", row.id),
        "size": str(row.size),
        "ours": row.ours["root"],
        "theirs": digest(row.root),
        "kind": row.theirs["kind"],
        "found_at": iso_us(row.found_at),
    }


async def _standing(s: ReadSession, fork_id: UUID, query: str) -> Any:
    row = await s.first(query, {"id": fork_id})
    if row is None:
        raise NotFound("fork", format_id("fork", fork_id))
    if row.dismissed_at is not None:
        raise Refused("fork", "dismissed", f"was dismissed at {iso_us(row.dismissed_at)}")
    return row


_DISMISS = """
UPDATE log_forks SET dismissed_at = :at, dismissed_by = :by, dismissed_reason = :reason,
  dismissed_salt = :salt WHERE id = :id
"""


async def dismiss(
    s: WriteSession,
    tenant_id: TenantId,
    fork_id: UUID,
    given: Sequence[Approval],
    by: str,
    reason: str,
    *,
    at: datetime,
) -> None:
    """Two persons agreed that anchoring may go on; `by` hands it in. The evidence stays.

    Raises NotFound, Refused where it was dismissed before, and what `two_people.require` does.
    """
    body = _document(tenant_id, await _standing(s, fork_id, f"{_ROW} FOR UPDATE"))
    of = "the fork as it is now"
    agreed = await two_people.require(s, tenant_id, body, given, at=at, of=of)
    salt = new_salt()
    values = {"id": fork_id, "at": at, "by": by, "reason": reason, "salt": salt}
    await s.execute(_DISMISS, values)
    data: dict[str, Json] = {
        "fork": body["fork"],
        "size": body["size"],
        "theirs": body["theirs"],
        "by": by,
        "reason": f"sha256:{commitment(salt, reason)}",
        **agreed,
    }
    await log.append(s, tenant_id, "log.fork_dismissed", data, at=at)

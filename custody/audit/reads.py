"""Reads of the log for the API: numbered entries, one tenant's or all."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """A numbered entry. `body` is the canonical JSON that the leaf hash is over."""

    seq: int
    id: UUID
    tenant_id: UUID
    kind: str
    at: datetime
    body: bytes


_SELECT = """
SELECT s.seq, e.id, e.tenant_id, e.kind, e.at, e.body
FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
"""


async def entry(s: ReadSession, seq: int, *, tenant_id: UUID | None = None) -> Entry:
    """Raises NotFound, also for another tenant's entry."""
    row = await s.first(
        _SELECT + "WHERE s.seq = :seq AND (CAST(:tenant AS uuid) IS NULL OR e.tenant_id = :tenant)",
        {"seq": seq, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("audit entry", seq)
    return Entry(**row._mapping)


async def entries(
    s: ReadSession,
    start: int,
    limit: int,
    *,
    tenant_id: UUID | None = None,
    kind: str | None = None,
) -> list[Entry]:
    """Up to `limit` entries numbered `start` or later, in order; all tenants' if none is named."""
    rows = await s.all(
        _SELECT + "WHERE s.seq >= :start AND (CAST(:tenant AS uuid) IS NULL "
        "OR e.tenant_id = :tenant) AND (CAST(:kind AS text) IS NULL OR e.kind = :kind) "
        "ORDER BY s.seq LIMIT :limit",
        {"start": start, "limit": limit, "tenant": tenant_id, "kind": kind},
    )
    return [Entry(**row._mapping) for row in rows]

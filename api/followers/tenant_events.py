"""The first follower: each tenant's own feed of the log, numbered without a gap.

Numbers of the log tell a tenant nothing about completeness, since other tenants' entries lie in
between. These do: 0, 1, 2, ... , each with its place in the log, where its proof is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from custody.audit.reads import Entry
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId
from custody.ledger.fsck import Break

_RECORD = """
INSERT INTO tenant_events (tenant_id, number, seq, kind)
SELECT e.tenant_id,
       coalesce((SELECT max(number) + 1 FROM tenant_events t WHERE t.tenant_id = e.tenant_id), 0)
           + row_number() OVER (PARTITION BY e.tenant_id ORDER BY e.seq) - 1,
       e.seq, e.kind
FROM unnest(CAST(:tenants AS uuid[]), CAST(:seqs AS bigint[]), CAST(:kinds AS text[]))
    AS e(tenant_id, seq, kind)
"""
_FEED = """
SELECT f.number, q.seq, f.kind, e.at, e.body FROM tenant_events f
JOIN audit_sequence q ON q.seq = f.seq JOIN audit_entries e ON e.id = q.entry_id
WHERE f.tenant_id = :tenant AND f.number >= :start ORDER BY f.number LIMIT :limit
"""
# What the feed must be up to its cursor, made again from the log.
_DIFFERENT = """
WITH due AS (
    SELECT e.tenant_id, q.seq, e.kind,
           row_number() OVER (PARTITION BY e.tenant_id ORDER BY q.seq) - 1 AS number
    FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id
    WHERE q.seq < (SELECT next_seq FROM followers WHERE name = :name)
)
SELECT 'entry ' || coalesce(d.seq, f.seq) AS subject,
       CASE WHEN f.seq IS NULL THEN 'is not in its tenant''s feed'
            WHEN d.seq IS NULL THEN 'is in a feed that has not come to it'
            ELSE 'is in the feed with other values than the log has' END AS detail
FROM due d FULL JOIN tenant_events f ON f.seq = d.seq
WHERE (d.tenant_id, d.number, d.kind) IS DISTINCT FROM (f.tenant_id, f.number, f.kind)
ORDER BY coalesce(d.seq, f.seq)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """`number` counts the tenant's events, `seq` is the entry's number in the log; `body` is the
    canonical JSON that its leaf hash is over."""

    number: int
    seq: int
    kind: str
    at: datetime
    body: bytes


class TenantEvents:
    """A recorder: see `api.followers.follow`."""

    name = "tenant-events"

    async def record(self, s: WriteSession, entries: Sequence[Entry]) -> None:
        columns = {
            "tenants": [e.tenant_id for e in entries],
            "seqs": [e.seq for e in entries],
            "kinds": [e.kind for e in entries],
        }
        await s.execute(_RECORD, columns)


async def feed(s: ReadSession, tenant_id: TenantId, start: int, limit: int) -> list[Event]:
    """The tenant's events numbered `start` or later, up to `limit`; all are under a checkpoint."""
    rows = await s.all(_FEED, {"tenant": tenant_id, "start": start, "limit": limit})
    return [Event(**row._mapping) for row in rows]


async def check(s: ReadSession) -> list[Break]:
    """Where the feed is not what the log makes of it."""
    rows = await s.all(_DIFFERENT, {"name": TenantEvents.name})
    return [Break("tenant_events", row.subject, row.detail) for row in rows]

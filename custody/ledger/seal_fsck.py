"""Make every seal again from the rows and compare it with the entry that the log has of it.

Whoever changed a sealed transfer, an account's code, a seal or a run, and in how many tables, is
found as long as the log stands, which has an fsck of its own (`custody/assurance/fsck.py`). A seal
without journals is one that a restore lost, if two people accepted that. Reads everything, and
holds one seal of it; run it in one snapshot.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.audit import merkle
from custody.core.db import ReadSession
from custody.core.errors import Broken
from custody.core.ids import format_id
from custody.core.serialization import loads
from custody.ledger import journal
from custody.ledger.fsck import Break

KIND = "ledger.sealed"

# Each answers (subject, detail) of what must not be.
RULES = {
    "sealed_once": """
        SELECT 'transfer ' || t.id AS subject,
               CASE WHEN w.waits AND r.runs > 0 THEN 'waits for a seal and has one'
                    WHEN r.runs = 0 THEN 'has no seal and waits for none'
                    ELSE 'is in ' || r.runs || ' seals' END AS detail
        FROM transfers t
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM unfollowed_calls u WHERE u.first_seq = t.seq - t.seq % 8192)
                OR EXISTS (SELECT FROM unsealed_calls u WHERE u.first_seq = t.seq - t.seq % 8192)
                AS waits
        ) AS w
        CROSS JOIN LATERAL (
            SELECT count(*) AS runs FROM ledger_sealed_runs r
            WHERE r.begin_seq >= t.seq - t.seq % 8192 AND r.begin_seq <= t.seq
              AND r.end_seq >= t.seq AND r.tenant_id = t.tenant_id
        ) AS r
        WHERE (r.runs = 1) = w.waits OR r.runs > 1
    """,
    "unsealed_calls": """
        SELECT 'call ' || u.first_seq AS subject,
               'waits with ' || u.transfers || ' transfers, but has ' || count(t.id) AS detail
        FROM unsealed_calls u
        LEFT JOIN transfers t ON t.seq - t.seq % 8192 = u.first_seq
        GROUP BY u.first_seq, u.transfers HAVING count(t.id) <> u.transfers
    """,
    "seal_numbers": """
        SELECT 'seal ' || number || ' of tenant ' || tenant_id AS subject,
               'does not go on where the one before it ends' AS detail
        FROM (
            SELECT tenant_id, number, start,
                   row_number() OVER w AS due, coalesce(sum(transfers) OVER before, 0) AS earlier
            FROM ledger_seals
            WINDOW w AS (PARTITION BY tenant_id ORDER BY number),
                   before AS (PARTITION BY tenant_id ORDER BY number
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS s WHERE number <> due OR start <> earlier
    """,
    "seal_entry": f"""
        SELECT 'entry ' || e.id AS subject, 'is of no seal' AS detail FROM audit_entries e
        WHERE e.kind = '{KIND}' AND NOT EXISTS (SELECT FROM ledger_seals g WHERE g.entry_id = e.id)
    """,
}
_SEALS = """
SELECT g.tenant_id, g.number, g.start, g.transfers, g.first_id, g.last_id, g.root, e.body
FROM ledger_seals g LEFT JOIN audit_entries e ON e.id = g.entry_id
ORDER BY g.tenant_id, g.number
"""
_SEALED = f"""
{journal.SELECT}, r.number, r.place FROM ledger_sealed_runs r
JOIN transfers t ON t.seq - t.seq % 8192 = r.begin_seq - r.begin_seq % 8192
 AND t.seq >= r.begin_seq AND t.seq <= r.end_seq AND t.tenant_id = r.tenant_id
{journal.ACCOUNTS}
ORDER BY r.tenant_id, r.number, r.place, t.seq
"""


async def check(s: ReadSession, lost: Collection[tuple[UUID, int]] = ()) -> list[Break]:
    """All that does not hold, rule by rule. `lost` are tenant and number of seals that may be
    without journals (`custody/assurance/losses.py`)."""
    breaks = [
        Break(rule, row.subject, row.detail)
        for rule, query in RULES.items()
        for row in await s.all(f"{query} ORDER BY subject, detail")
    ]
    async for seal, rows in _seals(s):
        if rows or (seal.tenant_id, seal.number) not in lost:
            breaks += _check_seal(seal, rows)
        else:
            breaks += _check_lost(seal)
    return breaks


async def _seals(s: ReadSession) -> AsyncIterator[tuple[Row[Any], list[Row[Any]]]]:
    """Each seal with its transfers, one at a time: two streams in one order, side by side."""
    sealed = s.stream(_SEALED)
    row = await anext(sealed, None)
    async for seal in s.stream(_SEALS):
        own = (seal.tenant_id, seal.number)
        rows = []
        while row is not None and (key := (row.tenant_id, row.number)) <= own:
            if key == own:
                rows.append(row)
            row = await anext(sealed, None)
        yield seal, rows


def _check_seal(seal: Row[Any], rows: Sequence[Row[Any]]) -> list[Break]:
    """The seal's entry in the log against the transfers, and its own row."""
    subject = f"seal {seal.number} of tenant {seal.tenant_id}"
    if seal.body is None:
        return [Break("seal", subject, "its entry is not in the log")]
    entry = loads(seal.body)
    try:
        made = _made(seal, rows)
    except Broken as error:
        return [Break("seal", subject, error.detail)]
    said = entry["data"]
    breaks = [
        Break("seal", subject, f"{name} is {_short(value)}, the log says {_short(said.get(name))}")
        for name, value in made.items()
        if said.get(name) != value
    ]
    if (entry["tenant"], entry["kind"]) != (format_id("tenant", seal.tenant_id), KIND):
        breaks.append(Break("seal", subject, "its entry is about something else"))
    if not breaks and f"sha256:{seal.root.hex()}" != made["root"]:
        breaks.append(Break("seal", subject, "its row has another root than its entry"))
    return breaks


def _check_lost(seal: Row[Any]) -> list[Break]:
    """Of a seal whose journals are gone only its own row is left to compare."""
    subject = f"seal {seal.number} of tenant {seal.tenant_id}"
    if seal.body is None:
        return [Break("seal", subject, "its entry is not in the log")]
    said = loads(seal.body)["data"]
    row = {
        "seal": str(seal.number),
        "start": str(seal.start),
        "count": str(seal.transfers),
        "first": format_id("transfer", seal.first_id),
        "last": format_id("transfer", seal.last_id),
        "root": f"sha256:{seal.root.hex()}",
    }
    if any(said.get(name) != value for name, value in row.items()):
        return [Break("seal", subject, "its row does not say what its entry says")]
    return []


def _made(seal: Row[Any], rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """What the entry must say, out of the rows. Raises Broken."""
    if not rows:
        raise Broken("has no transfers")
    journals = [journal.fields(row) for row in rows]
    return {
        "seal": str(seal.number),
        "start": str(seal.start),
        "count": str(len(rows)),
        "first": format_id("transfer", rows[0].id),
        "last": format_id("transfer", rows[-1].id),
        "totals": journal.totals(journals),
        "root": "sha256:" + merkle.root(journal.leaf_hashes(journals)).hex(),
    }


def _short(value: object) -> str:
    return str(value)[:80]

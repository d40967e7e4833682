"""What is sealed, read back: one journal with its proof, and all journals of a log of some size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from custody.audit import merkle, proof
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import TenantId, TransferId
from custody.ledger import journal
from custody.ledger.posting import CALL_MAX

SCHEMA = "moorage.journal-proof/1"

_RUN_OF = f"""
SELECT r.number, r.tenant_id FROM transfers t JOIN ledger_sealed_runs r
  ON r.tenant_id = t.tenant_id AND r.begin_seq >= t.seq - t.seq % {CALL_MAX}
 AND r.begin_seq <= t.seq AND r.end_seq >= t.seq
WHERE t.id = :id AND t.tenant_id = :tenant
"""
# The bounds let a range index find the rows; the join says which of them.
_OF_SEAL = f"""
WITH runs AS MATERIALIZED (
    SELECT begin_seq, end_seq, place FROM ledger_sealed_runs
    WHERE tenant_id = :tenant AND number = :number
)
{journal.SELECT} FROM runs r
JOIN transfers t ON t.seq - t.seq % {CALL_MAX} = r.begin_seq - r.begin_seq % {CALL_MAX}
 AND t.seq >= r.begin_seq AND t.seq <= r.end_seq AND t.tenant_id = :tenant
{journal.ACCOUNTS}
WHERE t.seq >= (SELECT min(begin_seq) FROM runs) AND t.seq <= (SELECT max(end_seq) FROM runs)
ORDER BY r.place, t.seq
"""
_ENTRY = """
SELECT q.seq, e.body FROM ledger_seals g
JOIN audit_entries e ON e.id = g.entry_id LEFT JOIN audit_sequence q ON q.entry_id = e.id
WHERE g.tenant_id = :tenant AND g.number = :number
"""
_EXPORT = f"""
{journal.SELECT}, r.number FROM ledger_seals g
JOIN audit_sequence q ON q.entry_id = g.entry_id AND q.seq < :size
JOIN ledger_sealed_runs r ON r.tenant_id = g.tenant_id AND r.number = g.number
JOIN transfers t ON t.seq - t.seq % {CALL_MAX} = r.begin_seq - r.begin_seq % {CALL_MAX}
 AND t.seq >= r.begin_seq AND t.seq <= r.end_seq AND t.tenant_id = r.tenant_id
{journal.ACCOUNTS}
WHERE CAST(:tenant AS uuid) IS NULL OR g.tenant_id = :tenant
ORDER BY t.tenant_id, r.number, r.place, t.seq
"""


@dataclass(frozen=True, slots=True)
class SealedJournal:
    """A journal under its seal's root, and the seal's entry in the log.

    `leaf` and `entry` are the bytes that are hashed; `seq` is the entry's number in the log.
    """

    number: int
    leaf: bytes
    inclusion: proof.InclusionProof
    entry: bytes
    seq: int


async def find(s: ReadSession, tenant_id: TenantId, transfer_id: TransferId) -> SealedJournal:
    """Raises NotFound: no such transfer of the tenant, or its seal is not in the log yet."""
    run = await s.first(_RUN_OF, {"id": transfer_id, "tenant": tenant_id})
    if run is None:
        raise NotFound("sealed transfer", transfer_id)
    of_seal = {"tenant": tenant_id, "number": run.number}
    entry = await s.one(_ENTRY, of_seal)
    if entry.seq is None:
        raise NotFound("sealed transfer", transfer_id)
    rows = await s.all(_OF_SEAL, of_seal)
    index = next(i for i, row in enumerate(rows) if row.id == transfer_id)
    journals = [journal.fields(row) for row in rows]
    node = merkle.nodes_of(journal.leaf_hashes(journals))
    return SealedJournal(
        number=run.number,
        leaf=journal.leaf(journals[index]),
        inclusion=proof.inclusion(node, index, len(rows)),
        entry=entry.body,
        seq=entry.seq,
    )


def proof_json(sealed: SealedJournal, in_log: proof.InclusionProof, note: str) -> dict[str, Any]:
    """Both levels as one document (SEALS.md). Requires `in_log` to be of the seal's entry."""
    under_seal: Mapping[str, Any] = sealed.inclusion.to_json()
    return {
        "schema": SCHEMA,
        "journal": sealed.leaf.decode(),
        "seal": {"number": str(sealed.number), **under_seal},
        "entry": sealed.entry.decode(),
        "log": in_log.to_json(),
        "checkpoint": note,
    }


async def export_csv(s: ReadSession, size: int, tenant_id: UUID | None) -> bytes:
    """`ledger.csv` of a bundle: the journals of all seals in a log of `size`, one tenant's or all.

    Open `s` as a snapshot.
    """
    rows = await s.all(_EXPORT, {"size": size, "tenant": tenant_id})
    return journal.to_csv([(row.number, journal.fields(row)) for row in rows])

"""Rebuild the newest served tree of each tenant from its leaves, and compare with the log."""

from typing import Any

from sqlalchemy import Row

from custody.assurance.solvency import report, tree
from custody.core.db import ReadSession
from custody.core.serialization import loads
from custody.ledger.fsck import Break

_NEWEST = """
SELECT DISTINCT ON (e.tenant_id) e.tenant_id, e.epoch, e.head, e.report, a.body
FROM solvency_epochs e JOIN audit_entries a ON a.id = e.published_entry
WHERE e.state = 'serving' ORDER BY e.tenant_id, e.epoch DESC
"""
_CHUNKS = """
SELECT number, records, root FROM solvency_chunks
WHERE tenant_id = :tenant AND epoch = :epoch AND number >= :start ORDER BY number LIMIT 64
"""


async def check(s: ReadSession) -> list[Break]:
    """Everything that is not as it was published. Requires a snapshot."""
    breaks: list[Break] = []
    for row in await s.all(_NEWEST):
        subject, logged = f"epoch {row.epoch} of {row.tenant_id}", loads(row.body)["data"]
        if report.digest_of(bytes(row.report)) != logged["report"]:
            breaks.append(Break("solvency_report", subject, "is not the report in the log"))
        breaks += await _check_tree(s, row, subject, logged)
    return breaks


async def _check_tree(
    s: ReadSession, row: Row[Any], subject: str, logged: dict[str, Any]
) -> list[Break]:
    assets, roots, breaks = len(logged["assets"]), b"", []
    while found := await s.all(
        _CHUNKS,
        {
            "tenant": row.tenant_id,
            "epoch": row.epoch,
            "start": len(roots) // tree.record_bytes(assets),
        },
    ):
        for chunk in found:
            made = tree.root_of(bytes(chunk.records), assets)
            if tree.record(made) != bytes(chunk.root):
                breaks.append(Break("solvency_chunk", subject, f"{chunk.number} was changed"))
            roots += bytes(chunk.root)
    if not roots:
        return [Break("solvency_tree", subject, "is served and has no leaves")]
    root = tree.root_of(roots, assets, leaves=False)
    if ("0x" + root.hash.hex(), [str(v) for v in root.sums]) != (logged["root"], logged["sums"]):
        breaks.append(Break("solvency_tree", subject, "has another root than the log"))
    return breaks

"""Reports of reconciliations: stored once, with their entry in the log, and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.assurance.lines import Line
from custody.audit import log
from custody.core import canonical
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId, new_uuid7
from custody.core.serialization import dumps_text


@dataclass(frozen=True, slots=True)
class Report:
    """`breaks` counts the lines that do not agree; one that could not be read is none."""

    id: UUID
    tenant_id: TenantId
    chain_id: int
    block_number: int
    breaks: int
    lines: tuple[dict[str, Any], ...]
    at: datetime


def of(
    tenant_id: TenantId, chain_id: int, block: int, lines: Sequence[Line], *, at: datetime
) -> Report:
    return Report(
        id=new_uuid7(),
        tenant_id=tenant_id,
        chain_id=chain_id,
        block_number=block,
        breaks=sum(line.broken for line in lines),
        lines=tuple(line.to_json() for line in lines),
        at=at,
    )


async def store(s: WriteSession, report: Report) -> None:
    body = {"lines": list(report.lines)}
    await s.execute(
        "INSERT INTO reconciliations (id, tenant_id, chain_id, block_number, breaks, report, at)"
        " VALUES (:id, :tenant, :chain, :block, :breaks, CAST(:report AS jsonb), :at)",
        {
            "id": report.id,
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "block": report.block_number,
            "breaks": report.breaks,
            "report": dumps_text(body),
            "at": report.at,
        },
    )
    data = {
        "chain_id": str(report.chain_id),
        "block_number": str(report.block_number),
        "breaks": str(report.breaks),
        "accounts": str(len(report.lines)),
        "digest": "sha256:" + canonical.sha256_hex(body),
    }
    await log.append(s, report.tenant_id, "reconcile.done", data, at=report.at)


async def last(s: ReadSession, tenant_id: TenantId, chain_id: int) -> tuple[int, datetime] | None:
    """Block and time of a chain's newest report."""
    row = await s.first(
        "SELECT block_number, at FROM reconciliations WHERE tenant_id = :tenant"
        " AND chain_id = :chain ORDER BY id DESC LIMIT 1",
        {"tenant": tenant_id, "chain": chain_id},
    )
    return None if row is None else (row.block_number, row.at)


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> list[Report]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        "SELECT id, tenant_id, chain_id, block_number, breaks, report, at FROM reconciliations"
        " WHERE tenant_id = :tenant AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor)"
        " ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [
        Report(
            r.id,
            TenantId(r.tenant_id),
            r.chain_id,
            r.block_number,
            r.breaks,
            tuple(r.report["lines"]),
            r.at,
        )
        for r in rows
    ]

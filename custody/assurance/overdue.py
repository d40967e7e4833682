"""Reconciliation that stands still is told, and then stops what it does not look at any more.

A chain whose cursor is halted, or an intent that stays `mined`, holds back the block that could be
compared; a step that fails makes no report either. So this looks at nothing but the age of the last
report, as a job of its own.
"""

import logging
from datetime import datetime

from custody.assurance import breakers, breaks, report
from custody.assurance.unread import Patience
from custody.audit import log
from custody.core.clock import Clock, iso_us
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.ids import TenantId
from custody.ledger import accounts
from custody.ledger.accounts import Account

logger = logging.getLogger(__name__)


async def step(
    db: Database, clock: Clock, tenant_id: TenantId, chain_id: int, patience: Patience
) -> int:
    """How many assets were stopped. Nothing is due where nothing of ours is on the chain."""
    now = clock.now()
    async with db.read() as s:
        every = await accounts.list_by_code(s, tenant_id, "asset:")
        there = [a for a in every if a.asset_id.startswith(f"eip155:{chain_id}/")]
        last = await _last_at(s, tenant_id, chain_id, there)
    if last is None or now - last <= patience.loud:
        return 0
    logger.critical("nothing is reconciled", extra={"chain": chain_id, "since": last})
    async with db.write() as s:
        await breaks.lock(s, tenant_id)
        if await _last_at(s, tenant_id, chain_id, there) != last:
            return 0  # a report has come
        await _tell(s, tenant_id, chain_id, last, at=now)
        if now - last <= patience.stop:
            return 0
        stopped = 0
        for asset in sorted({a.asset_id for a in there}):
            stopped += await breakers.suspect(s, tenant_id, asset, chain_id, at=now)
        return stopped


async def _last_at(
    s: ReadSession, tenant_id: TenantId, chain_id: int, there: list[Account]
) -> datetime | None:
    """When the last report came, or before the first one since when there is something."""
    found = await report.last(s, tenant_id, chain_id)
    return min((a.created_at for a in there), default=None) if found is None else found[1]


async def _tell(
    s: WriteSession, tenant_id: TenantId, chain_id: int, since: datetime, *, at: datetime
) -> None:
    """One entry in the log an episode: the row goes with the next report."""
    made = await s.scalar(
        "INSERT INTO overdue_reports (tenant_id, chain_id, since) VALUES (:tenant, :chain, :since)"
        " ON CONFLICT DO NOTHING RETURNING 1",
        {"tenant": tenant_id, "chain": chain_id, "since": since},
    )
    if made:
        data = {"chain_id": str(chain_id), "since": iso_us(since)}
        await log.append(s, tenant_id, "reconcile.overdue", data, at=at)


async def ended(s: WriteSession, tenant_id: TenantId, chain_id: int) -> None:
    """A report has come. In its commit."""
    await s.execute(
        "DELETE FROM overdue_reports WHERE tenant_id = :tenant AND chain_id = :chain",
        {"tenant": tenant_id, "chain": chain_id},
    )

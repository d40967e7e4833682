"""Places that reconciliation cannot read, since when, and the assets that stop for it.

A place that nobody can compare is as good as one that does not agree, after a while. An exchange
at which a leg of ours moves shows nothing for as long as the move takes, which may be hours: it
gets a day.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from custody.assurance.lines import MOVES_THERE, NOT_READ, Line
from custody.assurance.report import Report
from custody.audit import log
from custody.core.db import WriteSession

logger = logging.getLogger(__name__)

CYCLES_LOUD = 3
"""A place that could not be read so often in a row is told loudly."""
MOVE_LOUD = timedelta(hours=4)
MOVE_STOPS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a chain may be without a report, and a place without being read, before that is
    told loudly and before its assets stop."""

    loud: timedelta = timedelta(minutes=15)
    stop: timedelta = timedelta(minutes=60)


async def follow(
    s: WriteSession, report: Report, lines: Sequence[Line], patience: Patience
) -> set[str]:
    """Take over what could not be read; the assets to stop for it. In the report's commit."""
    unread = [x for x in lines if x.there is None]
    await s.execute(
        "DELETE FROM unread_places WHERE tenant_id = :tenant AND chain_id = :chain"
        " AND NOT (account || ' ' || asset_id) = ANY(:keys)",
        {
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "keys": [f"{x.code} {x.asset_id}" for x in unread],
        },
    )
    stopped = set()
    for line in unread:
        if await _one(s, report, line, patience):
            stopped.add(line.asset_id)
    return stopped


async def _one(s: WriteSession, report: Report, line: Line, patience: Patience) -> bool:
    """Whether it is unread for so long that its asset stops."""
    row = await s.one(
        "INSERT INTO unread_places (tenant_id, chain_id, account, asset_id, since, cycles, told)"
        " VALUES (:tenant, :chain, :account, :asset, :at, 1, false)"
        " ON CONFLICT (tenant_id, chain_id, account, asset_id)"
        " DO UPDATE SET cycles = unread_places.cycles + 1 RETURNING since, cycles, told",
        {
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "account": line.code,
            "asset": line.asset_id,
            "at": report.at,
        },
    )
    age = report.at - row.since
    if _is_loud(line, age, row.cycles, patience):
        await _tell(s, report, line, row.since, row.cycles, told=row.told)
    return bool(age > (MOVE_STOPS if line.unread == MOVES_THERE else patience.stop))


def _is_loud(line: Line, age: timedelta, cycles: int, patience: Patience) -> bool:
    if line.unread == MOVES_THERE:
        return age > MOVE_LOUD
    return cycles >= CYCLES_LOUD or age > patience.loud


async def _tell(
    s: WriteSession, report: Report, line: Line, since: datetime, cycles: int, *, told: bool
) -> None:
    """One entry in the log an episode; and a line in the service's own log at every cycle."""
    said = {"account": line.code, "asset": line.asset_id, "reason": line.unread or NOT_READ}
    logger.critical("place is not reconciled", extra={**said, "since": since})
    if told:
        return
    data = {
        **said,
        "chain_id": str(report.chain_id),
        "block_number": str(report.block_number),
        "cycles": str(cycles),
    }
    await log.append(s, report.tenant_id, "reconcile.unread", data, at=report.at)
    await s.execute(
        "UPDATE unread_places SET told = true WHERE tenant_id = :tenant AND chain_id = :chain"
        " AND account = :account AND asset_id = :asset",
        {
            "tenant": report.tenant_id,
            "chain": report.chain_id,
            "account": line.code,
            "asset": line.asset_id,
        },
    )

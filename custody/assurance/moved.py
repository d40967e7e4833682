"""What others swept from deposit addresses to the treasury, booked: treasury <- deposit.

Anybody may call a deposit address's `sweep`. Reconciliation sees it as a shortfall of addresses
that the treasury has instead (`lines.with_moved`). Nobody is asked to accept that, for it would
hide the same amount leaving the treasury later. Once two looks agree on it the move is posted, at
their block, which is final and complete; the next look finds both sides right.
"""

import logging
from collections.abc import Iterable, Sequence

from custody.assurance.breaks import Break
from custody.assurance.lines import Line
from custody.assurance.report import Report
from custody.audit import log
from custody.core.clock import Clock
from custody.core.db import Database, WriteSession
from custody.core.ids import TenantId, format_id
from custody.core.isolation import each
from custody.core.money import AssetId
from custody.ledger import accounts, balances, chart
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.parties import places

logger = logging.getLogger(__name__)

CODE = "deposit.swept-by-others"


async def open_treasury(db: Database, tenant_id: TenantId, chain_id: int) -> None:
    """The treasury's accounts of all assets that deposit addresses have: what others sweep there
    before we do would else be missing here, and nowhere too much."""
    async with db.read() as s:
        every = await accounts.list_by_code(s, tenant_id, "asset:")
    code = chart.treasury(chain_id)
    known = {a.asset_id for a in every if a.code == code}
    lacking = {
        a.asset_id: a.location
        for a in every
        if a.code.startswith(chart.DEPOSIT_PREFIX)
        and a.location is not None
        and a.location["chain_id"] == chain_id
        and a.asset_id not in known
    }
    if not lacking:
        return
    async with db.write() as s:
        holder = (await places.place(s, tenant_id, chain_id, places.TREASURY)).address
        for asset, there in sorted(lacking.items()):
            at = chart.location(there["kind"], chain_id, there["token"], holder)
            await accounts.ensure(s, tenant_id, code, asset, "asset", location=at)


async def book(
    db: Database, clock: Clock, report: Report, lines: Iterable[Line], live: Sequence[Break]
) -> int:
    """How many addresses' moves were posted, each in its own commit, after that of the report:
    killed between, the next report finds them again."""
    confirmed = {b.key: b for b in live if b.moved and b.confirmed and b.beyond < 0}
    found = [x for x in lines if x.moved and (x.code, x.asset_id) in confirmed]

    async def one(line: Line) -> bool:
        async with db.write() as s:
            return await _post(s, clock, report, confirmed[line.code, line.asset_id], line)

    return await each(logger, "sweep by others", found, one)


async def _post(s: WriteSession, clock: Clock, report: Report, of: Break, line: Line) -> bool:
    """Unless somebody has since: the ledger at that block must still be what was compared."""
    key = {"key": f"moved/{of.id}"}
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:key, 29))", key)
    asset, tenant = AssetId(line.asset_id), report.tenant_id
    source = await accounts.by_code(s, tenant, line.code, asset)
    treasury = await accounts.by_code(s, tenant, chart.treasury(report.chain_id), asset)
    if await balances.balance_at_block(s, source, line.block) != line.ledger:
        return False
    made = Transfer(
        id=derived_id(of.id, f"swept-by-others/{line.block}"),
        tenant_id=tenant,
        debit=treasury,
        credit=source,
        amount=-line.off,
        code=CODE,
        event_at=clock.now(),
        chain_id=report.chain_id,
        block_number=line.block,
        reference=format_id("break", of.id),
    )
    await post_or_raise(s, [made])
    data = {
        "break": format_id("break", of.id),
        "account": line.code,
        "asset": line.asset_id,
        "amount": str(-line.off),
        "chain_id": str(report.chain_id),
        "block_number": str(line.block),
        "transfer": format_id("transfer", made.id),
    }
    await log.append(s, tenant, "sweep.booked", data, at=clock.now())
    return True

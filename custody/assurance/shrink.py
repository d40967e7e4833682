"""How much a measured token may still shrink by itself at an account (`tolerance.may_shrink`)."""

from dataclasses import replace
from datetime import datetime, timedelta

from custody.assurance import tolerance
from custody.assurance.lines import Line
from custody.assurance.tolerance import Place
from custody.core.db import ReadSession
from custody.core.ids import TenantId
from custody.core.money import AssetId
from custody.ledger import accounts, balances
from custody.ledger.accounts import Account

CODE = "asset.drifted"
WINDOW = timedelta(days=1)


async def bounded(s: ReadSession, tenant_id: TenantId, line: Line, *, now: datetime) -> Line:
    """The line with what may be lost there. As it is, if it is of no measured token."""
    if line.place is not Place.MEASURED:
        return line
    account = await accounts.find(s, tenant_id, line.code, AssetId(line.asset_id))
    used = 0 if account is None else await _used_ppm(s, account, line.decimals, now)
    may = tolerance.may_shrink(line.ledger, line.decimals, used)
    return replace(line, may_shrink=may)


async def _used_ppm(s: ReadSession, account: Account, decimals: int, now: datetime) -> int:
    """The shares that were booked as lost within a day, added up; each of what lay there then.

    One above the bound was accepted by two people, and is not counted.
    """
    rows = await s.all(
        "SELECT amount, block_number FROM transfers WHERE tenant_id = :tenant"
        " AND credit_account_id = :id AND code = :code AND event_at > :since AND amount > :least",
        {
            "tenant": account.tenant_id,
            "id": account.id,
            "code": CODE,
            "since": now - WINDOW,
            "least": tolerance.rounding(decimals),
        },
    )
    used = 0
    for row in rows:
        lost = int(row.amount)
        after = await balances.balance_at_block(s, account.id, int(row.block_number))
        share = tolerance.lost_ppm(lost, after + lost)
        used += share if share <= tolerance.SHRINK_PPM else 0
    return used

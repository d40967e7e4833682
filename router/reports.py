"""A pool's period from the ledger: each holder's statement, and what the operator took and paid.

By the ledger's own time, so that a period does not change any more once it is over. Requires a
session that sees one moment (`Database.snapshot`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.ids import AccountId, PoolId, TenantId
from custody.core.money import native_asset
from custody.ledger import chart
from router import books, sharing
from router.books import Pool
from router.sharing import Line, Move, Shared

_MOVES = """
SELECT m.seq, t.code, t.group_id, -m.change AS change, a.owner_id
FROM ledger_moves(:account, :start, :end) AS m
JOIN LATERAL (
    SELECT * FROM transfers WHERE id = m.transfer_id AND tenant_id = m.tenant_id LIMIT 1
) AS t ON true
JOIN accounts AS a ON a.tenant_id = t.tenant_id AND a.id =
    CASE WHEN t.debit_account_id = :account THEN t.credit_account_id ELSE t.debit_account_id END
ORDER BY m.seq
"""
_HOLDERS = """
SELECT owner_id, -ledger_balance(id, :start) AS shares FROM accounts
WHERE tenant_id = :tenant AND asset_id = :asset AND owner_id IS NOT NULL
"""
# Calls of the guard, and money sent to it: all that the pool's own intents are.
_GAS = """
SELECT coalesce(sum(t.amount), 0) AS fee
FROM intents AS i
JOIN transfers AS t ON t.reference = 'int_' || replace(i.id::text, '-', '')
    AND t.block_number IS NOT NULL AND t.tenant_id = i.tenant_id
WHERE i.tenant_id = :tenant AND i.chain_id = :chain AND t.code = 'gas.paid'
  AND (i.body ->> 'to' = :guard OR i.body ->> 'beneficiary' = :guard)
  AND t.created_at >= :start AND t.created_at < :end
"""
_LOSSES = """
SELECT coalesce(sum(t.amount), 0)
FROM transfers AS t
JOIN accounts AS loss ON loss.id = t.debit_account_id AND loss.tenant_id = t.tenant_id
WHERE t.tenant_id = :tenant AND loss.code = :loss AND t.credit_account_id = ANY(:venues)
  AND t.code = 'yield.lost' AND t.created_at >= :start AND t.created_at < :end
"""


@dataclass(frozen=True, slots=True)
class Report:
    """One pool and period. `totals`, `lines` and `losses` in base units of the pool's asset,
    `gas` in base units of `gas_asset`, which the operator's wallets paid.

    `losses` are those beyond what holders had, which the operator bore.
    """

    pool: Pool
    start: datetime
    end: datetime
    shared: Shared
    gas_asset: str
    gas: int
    losses: int

    @property
    def totals(self) -> Line:
        return self.shared.totals

    @property
    def income(self) -> int:
        t = self.totals
        return t.management + t.spread + t.excess + t.exit_fees


async def report(
    s: ReadSession, tenant_id: TenantId, pool_id: PoolId, start: datetime, end: datetime
) -> Report:
    """Everything with start <= time < end. O(holders + moves). Raises NotFound."""
    item = await books.pool(s, tenant_id, pool_id)
    shared = await statements(s, item, start, end)
    period = {"tenant": tenant_id, "start": start, "end": end}
    gas = await s.scalar(_GAS, {**period, "chain": item.chain_id, "guard": item.guard})
    venues = [
        await books.account(s, item, books.venue_code(row))
        for row in await books.venues(s, pool_id)
    ]
    losses = await s.scalar(_LOSSES, {**period, "loss": chart.EXPENSE_LOSS, "venues": venues})
    native = native_asset(item.chain_id)
    return Report(item, start, end, shared, native, int(gas), int(losses))


async def statements(s: ReadSession, item: Pool, start: datetime, end: datetime) -> Shared:
    """Each holder's statement; their sums are the pool's own. Raises Broken where they are not."""
    owed = await books.account(s, item, chart.pool(item.id))
    issue = await books.account(s, item, chart.pool_shares(item.id), item.share_asset)
    assets = -int(await s.scalar("SELECT ledger_balance(:id, :at)", {"id": owed, "at": start}))
    rows = await s.all(
        _HOLDERS, {"tenant": item.tenant_id, "asset": item.share_asset, "start": start}
    )
    held = {row.owner_id: int(row.shares) for row in rows if row.shares}
    moves = await _moves(s, owed, start, end, shares=False)
    moves += await _moves(s, issue, start, end, shares=True)
    return sharing.share(assets, held, sorted(moves, key=lambda m: m.seq))


async def _moves(
    s: ReadSession, account: AccountId, start: datetime, end: datetime, *, shares: bool
) -> list[Move]:
    """Of the pool's account, or of the account that its shares come from and go back to."""
    rows = await s.all(_MOVES, {"account": account, "start": start, "end": end})
    # An exit's fee goes to income: whose exit it is, the other moves of its group say.
    owners: Mapping[UUID, UUID] = {r.group_id: r.owner_id for r in rows if r.owner_id is not None}
    return [
        Move(r.seq, r.code, r.owner_id, shares=-int(r.change))
        if shares
        else Move(r.seq, r.code, r.owner_id or _leaver(r, owners), int(r.change))
        for r in rows
    ]


def _leaver(row: Any, owners: Mapping[UUID, UUID]) -> UUID | None:
    return owners.get(row.group_id) if row.code == sharing.EXIT_FEE else None

"""What is owed to every customer at a block of each chain: the liabilities of a solvency report.

Posted balances: held money is still owed. What happened on a chain after its block is taken back
out, with all that the ledger did since the first such journal; so nobody is below zero because
money of a later block has already gone on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.core.db import ReadSession
from custody.core.errors import Broken
from custody.core.ids import TenantId
from custody.core.money import AssetId

PAGE = 1_000
"""Rows that are made into objects in one go: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Owed:
    """Base units by customer and asset (shares of a pool are an asset). Nothing is negative."""

    customers: tuple[UUID, ...]
    balances: Mapping[tuple[UUID, str], int]


async def last_seq(s: ReadSession) -> int:
    """The newest place in the order of posting that is drawn."""
    return int(await s.scalar("SELECT last_value FROM transfer_seq"))


async def has_books(s: ReadSession, tenant_id: TenantId) -> bool:
    """Whether the tenant has any account: before that there is nothing to owe and nothing held."""
    asked = "SELECT EXISTS (SELECT FROM accounts WHERE tenant_id = :tenant)"
    return bool(await s.scalar(asked, {"tenant": tenant_id}))


_CUSTOMERS = "SELECT id FROM customers WHERE tenant_id = :tenant ORDER BY id"
_BALANCES = """
SELECT owner_id, asset_id, sum(credits_posted - debits_posted) AS owed
FROM accounts WHERE tenant_id = :tenant AND kind = 'liability' AND owner_id IS NOT NULL
GROUP BY owner_id, asset_id
HAVING sum(credits_posted - debits_posted) <> 0
"""
# From the first journal of a customer about a later block on, what is not about an earlier one is
# taken back out: the ledger as it was then, and after it only what the blocks hold.
_LATER = """
WITH pins AS (
    SELECT chain, block FROM unnest(CAST(:chains AS bigint[]), CAST(:blocks AS bigint[]))
        AS p(chain, block)
), late AS (
    SELECT t.seq, t.kind, a.owner_id, a.asset_id, t.block_number > p.block AS is_later,
           CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END AS change
    FROM transfers t
    JOIN accounts a ON a.id IN (t.debit_account_id, t.credit_account_id)
      AND a.tenant_id = t.tenant_id AND a.kind = 'liability' AND a.owner_id IS NOT NULL
    JOIN assets s ON s.id = a.asset_id
    LEFT JOIN pins p ON p.chain = coalesce(t.chain_id, s.chain_id)
    WHERE t.tenant_id = :tenant AND t.seq > :floor
)
SELECT owner_id, asset_id, sum(change) AS change FROM late
WHERE seq >= (SELECT min(seq) FROM late WHERE is_later) AND is_later IS NOT FALSE
  AND kind IN ('posted', 'post')
GROUP BY owner_id, asset_id
"""


async def at_blocks(
    s: ReadSession, tenant_id: TenantId, blocks: Mapping[int, int], floor: int
) -> Owed:
    """Requires a snapshot, `blocks` of all chains, and that no journal up to place `floor` in the
    order of posting is about a later block.

    Raises Broken where a customer would be below zero.
    """
    customers: list[UUID] = []
    async for rows in _pages(s, "owed_customers", _CUSTOMERS, tenant_id):
        customers += (r.id for r in rows)
    found: dict[tuple[UUID, str], int] = {}
    async for rows in _pages(s, "owed_balances", _BALANCES, tenant_id):
        found.update({(r.owner_id, r.asset_id): int(r.owed) for r in rows})
    asked = {
        "tenant": tenant_id,
        "floor": floor,
        "chains": list(blocks),
        "blocks": list(blocks.values()),
    }
    for row in await s.all(_LATER, asked):
        key = (row.owner_id, row.asset_id)
        found[key] = found.get(key, 0) - int(row.change)
    below = sum(v < 0 for v in found.values())
    if below:
        raise Broken(f"{below} balances are below zero at the pinned blocks")
    return Owed(tuple(customers), {key: v for key, v in found.items() if v})


async def _pages(
    s: ReadSession, name: str, statement: str, tenant_id: TenantId
) -> AsyncIterator[Sequence[Row[Any]]]:
    """By a cursor of the snapshot's, a page at a time: whatever else runs gets its turn between."""
    declare = f"DECLARE {name} NO SCROLL CURSOR FOR {statement}"
    await s.execute(declare, {"tenant": tenant_id})
    while rows := await s.all(f"FETCH {PAGE} FROM {name}"):
        yield rows
    await s.execute(f"CLOSE {name}")


_KEPT = """
SELECT a.debits_posted - a.credits_posted - coalesce((
    SELECT sum(t.amount) FROM transfers t
    WHERE t.debit_account_id = a.id AND t.tenant_id = a.tenant_id AND t.seq > :floor
      AND t.kind IN ('posted', 'post')), 0) AS kept
FROM accounts a WHERE a.tenant_id = :tenant AND a.code = :code AND a.asset_id = :asset
"""


async def kept_since(
    s: ReadSession, tenant_id: TenantId, code: str, asset_id: AssetId, floor: int
) -> int:
    """What an asset account has, without all that has come since `floor`; at least 0."""
    asked = {"tenant": tenant_id, "code": code, "asset": asset_id, "floor": floor}
    return max(0, int(await s.scalar(_KEPT, asked)))

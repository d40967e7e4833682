"""What is owed to every customer at a block of each chain: the liabilities of a solvency report.

Posted balances: held money is still owed. What happened on a chain after its block is taken back
out; what happened in the ledger alone counts up to the snapshot that this is read in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.errors import Broken
from custody.core.ids import TenantId


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
_LATER = """
SELECT a.owner_id, a.asset_id,
       sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END) AS change
FROM transfers t
JOIN accounts a ON a.tenant_id = t.tenant_id AND a.kind = 'liability' AND a.owner_id IS NOT NULL
  AND a.id IN (t.debit_account_id, t.credit_account_id)
JOIN assets s ON s.id = a.asset_id
WHERE t.tenant_id = :tenant AND t.seq > :floor AND coalesce(t.chain_id, s.chain_id) = :chain
  AND t.block_number > :block AND t.kind IN ('posted', 'post')
GROUP BY a.owner_id, a.asset_id
"""


async def at_blocks(
    s: ReadSession, tenant_id: TenantId, blocks: Mapping[int, int], floor: int
) -> Owed:
    """Requires a snapshot, `blocks` of all chains, and that no journal up to place `floor` in the
    order of posting is about a later block.

    Raises Broken where a customer would be below zero: money that came after the block has already
    gone on in the ledger. A later block, or the next epoch, has no such customer.
    """
    customers = tuple(r.id for r in await s.all(_CUSTOMERS, {"tenant": tenant_id}))
    found: dict[tuple[UUID, str], int] = {}
    for row in await s.all(_BALANCES, {"tenant": tenant_id}):
        found[row.owner_id, row.asset_id] = int(row.owed)
    for chain_id, block in blocks.items():
        asked = {"tenant": tenant_id, "floor": floor, "chain": chain_id, "block": block}
        for row in await s.all(_LATER, asked):
            key = (row.owner_id, row.asset_id)
            found[key] = found.get(key, 0) - int(row.change)
    below = sum(v < 0 for v in found.values())
    if below:
        raise Broken(f"{below} balances are below zero at the pinned blocks")
    return Owed(customers, {key: v for key, v in found.items() if v})

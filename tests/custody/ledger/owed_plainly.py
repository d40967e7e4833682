"""What is owed, read row by row into one dictionary: the reading that the packed one must equal.

Short and easy to see through, and a gigabyte for a million customers. Two independent ways to the
same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.errors import Broken
from custody.core.ids import TenantId
from custody.ledger import owed


@dataclass(frozen=True, slots=True)
class Plainly:
    """Base units by customer and asset. Nothing is negative, nothing zero."""

    customers: tuple[UUID, ...]
    balances: Mapping[tuple[UUID, str], int]


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
) -> Plainly:
    """As `owed.at_blocks`."""
    tenant = {"tenant": tenant_id}
    customers = tuple(r.id for r in await s.all(_CUSTOMERS, tenant))
    found = {(r.owner_id, r.asset_id): int(r.owed) for r in await s.all(_BALANCES, tenant)}
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
    return Plainly(customers, {key: v for key, v in found.items() if v})


def unpacked(found: owed.Owed) -> Plainly:
    """The packed answer in the same form."""
    raw = found.customers
    customers = tuple(UUID(bytes=raw[i : i + 16]) for i in range(0, len(raw), 16))
    table = found.table(found.assets).tolist()
    balances = {
        (customer, asset): (high << 64) + low
        for customer, row in zip(customers, table, strict=True)
        for asset, (high, low) in zip(found.assets, row, strict=True)
        if high or low
    }
    return Plainly(customers, balances)

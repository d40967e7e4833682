"""Reading deposits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import CustomerId, DepositId, FreezeId, TenantId, TransferId, format_id


@dataclass(frozen=True, slots=True)
class Deposit:
    """Value seen on chain; `amount` in base units. An operator's own funding has a place_role.

    `arrived` is what there was of it in truth, where that is measured; None where it is not.
    `freeze_id` is that of the freeze in force, new each time.
    """

    id: DepositId
    tenant_id: TenantId
    customer_id: CustomerId | None
    place_role: str | None
    chain_id: int
    tx_hash: str
    log_index: int
    trace_path: str
    asset_id: str
    sender: str
    address: str
    amount: int
    block_number: int
    block_hash: str
    block_time: datetime
    state: str
    reason: str | None
    arrived: int | None
    transfer_id: TransferId | None
    created_at: datetime
    freeze_id: FreezeId | None
    frozen_at: datetime | None

    @property
    def value(self) -> int:
        """Base units that its owner gets."""
        return self.amount if self.arrived is None else self.arrived


COLUMNS = (
    "id, tenant_id, customer_id, place_role, chain_id, tx_hash, log_index, trace_path, asset_id,"
    " sender, address, amount, block_number, block_hash, block_time, state, reason,"
    " arrived, transfer_id, created_at, freeze_id, frozen_at"
)


def row_to_deposit(row: Any) -> Deposit:
    values = dict(row._mapping)
    values["amount"] = int(values["amount"])
    values["arrived"] = None if values["arrived"] is None else int(values["arrived"])
    return Deposit(**values)


async def deposits(
    s: ReadSession,
    tenant_id: TenantId,
    customer_id: CustomerId | None,
    cursor: UUID | None,
    limit: int,
    state: str | None = None,
) -> list[Deposit]:
    """Newest first; without a customer, those of all customers of the tenant."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM deposits WHERE tenant_id = :tenant AND customer_id IS NOT NULL"
        " AND (CAST(:customer AS uuid) IS NULL OR customer_id = :customer)"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {
            "tenant": tenant_id,
            "customer": customer_id,
            "state": state,
            "cursor": cursor,
            "limit": limit,
        },
    )
    return [row_to_deposit(row) for row in rows]


async def deposit(s: ReadSession, tenant_id: TenantId, deposit_id: DepositId) -> Deposit:
    """Raises NotFound."""
    return await _one(s, tenant_id, deposit_id, "")


async def locked(s: WriteSession, tenant_id: TenantId, deposit_id: DepositId) -> Deposit:
    """The same, and nobody else changes it until this transaction ends. Raises NotFound."""
    return await _one(s, tenant_id, deposit_id, " FOR UPDATE")


async def _one(s: ReadSession, tenant_id: TenantId, deposit_id: DepositId, lock: str) -> Deposit:
    row = await s.first(
        f"SELECT {COLUMNS} FROM deposits WHERE id = :id AND tenant_id = :tenant{lock}",
        {"id": deposit_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("deposit", format_id("deposit", deposit_id))
    return row_to_deposit(row)


async def in_state(
    s: ReadSession, chain_id: int, state: str, block_max: int, after: Deposit | None = None
) -> list[Deposit]:
    """A page of one chain's deposits in one state, up to a block, oldest first; none frozen."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM deposits WHERE chain_id = :chain AND state = :state"
        " AND freeze_id IS NULL AND block_number <= :block AND (CAST(:after AS bigint) IS NULL"
        " OR (block_number, id) > (:after, CAST(:id AS uuid))) ORDER BY block_number, id LIMIT 500",
        {
            "chain": chain_id,
            "state": state,
            "block": block_max,
            "after": None if after is None else after.block_number,
            "id": None if after is None else after.id,
        },
    )
    return [row_to_deposit(row) for row in rows]


async def beside(s: ReadSession, deposit: Deposit) -> list[Deposit]:
    """All that one block brought to one address of one asset, itself included, in their order."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM deposits WHERE chain_id = :chain AND block_hash = :hash"
        " AND block_number = :number AND address = :address AND asset_id = :asset"
        " AND state <> 'orphaned' ORDER BY log_index, trace_path",
        {
            "chain": deposit.chain_id,
            "hash": deposit.block_hash,
            "number": deposit.block_number,
            "address": deposit.address,
            "asset": deposit.asset_id,
        },
    )
    return [row_to_deposit(row) for row in rows]


async def listed_at(s: ReadSession, chain_id: int, address: str, asset_id: str, block: int) -> int:
    """Base units that came up to a block to one address and are not credited, or not yet."""
    found = await s.scalar(
        "SELECT coalesce(sum(coalesce(arrived, amount)), 0) FROM deposits"
        " WHERE chain_id = :chain AND address = :address AND asset_id = :asset"
        " AND block_number <= :block"
        " AND state IN ('listed', 'seen')",
        {"chain": chain_id, "address": address, "asset": asset_id, "block": block},
    )
    return int(found or 0)


async def is_disputed(s: ReadSession, chain_id: int, address: str, asset_id: str) -> bool:
    """Whether it is still to be found out of something that came to an address what it is."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM deposits WHERE chain_id = :chain AND address = :address"
            " AND asset_id = :asset AND state IN ('seen', 'quarantined'))",
            {"chain": chain_id, "address": address, "asset": asset_id},
        )
    )


async def first_seen(s: ReadSession, chain_id: int, address: str, asset_id: str) -> int | None:
    """The block of the oldest that came to an address and is not decided yet; None if all are."""
    found = await s.scalar(
        "SELECT min(block_number) FROM deposits WHERE chain_id = :chain AND address = :address"
        " AND asset_id = :asset AND state = 'seen'",
        {"chain": chain_id, "address": address, "asset": asset_id},
    )
    return None if found is None else int(found)

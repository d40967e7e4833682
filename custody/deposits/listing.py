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
    transfer_id: TransferId | None
    created_at: datetime
    freeze_id: FreezeId | None
    frozen_at: datetime | None


COLUMNS = (
    "id, tenant_id, customer_id, place_role, chain_id, tx_hash, log_index, trace_path, asset_id,"
    " sender, address, amount, block_number, block_hash, block_time, state, reason,"
    " transfer_id, created_at, freeze_id, frozen_at"
)


def row_to_deposit(row: Any) -> Deposit:
    values = dict(row._mapping)
    values["amount"] = int(values["amount"])
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


async def in_state(s: ReadSession, chain_id: int, state: str, block_max: int) -> list[Deposit]:
    """Deposits of one chain in one state, up to a block, oldest first; not those frozen."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM deposits WHERE chain_id = :chain AND state = :state"
        " AND freeze_id IS NULL AND block_number <= :block"
        " ORDER BY block_number, log_index, trace_path LIMIT 500",
        {"chain": chain_id, "state": state, "block": block_max},
    )
    return [row_to_deposit(row) for row in rows]

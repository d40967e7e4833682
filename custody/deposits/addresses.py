"""Deposit addresses: derived from the tenant's xpub, gap-free, one a customer, branch and chain.

Branch 0 takes the native coin, branch 1 tokens. The same index serves a customer on every chain,
so a deposit on the wrong chain still lands on an address of the same customer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import CustomerId, TenantId, format_id
from custody.deposits import looked
from custody.keys import hd

BRANCH_NATIVE = 0
BRANCH_TOKEN = 1


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """`path` is `branch/index` below the tenant's hardened account."""

    tenant_id: TenantId
    customer_id: CustomerId
    chain_id: int
    address: str
    branch: int
    index: int
    created_at: datetime

    @property
    def path(self) -> str:
        return f"{self.branch}/{self.index}"


_COLUMNS = "tenant_id, customer_id, chain_id, address, branch, index, created_at"


async def issue(
    s: WriteSession,
    tenant_id: TenantId,
    customer_id: CustomerId,
    chain_id: int,
    branch: int,
    *,
    at: datetime,
) -> DepositAddress:
    """The customer's address on that chain and branch; made on first call, the same ever after."""
    known = await _known(s, tenant_id, customer_id, chain_id, branch)
    if known is not None:
        return known
    index = await _index(s, tenant_id, branch, customer_id)
    # Whoever asked for the same one meanwhile held the counter's lock and has committed.
    known = await _known(s, tenant_id, customer_id, chain_id, branch)
    if known is not None:
        return known
    xpub = await s.scalar("SELECT account_xpub FROM tenants WHERE id = :id", {"id": tenant_id})
    address = hd.derive_public(xpub, branch, index)
    issued = DepositAddress(tenant_id, customer_id, chain_id, address, branch, index, at)
    await s.execute(
        f"INSERT INTO deposit_addresses ({_COLUMNS}) VALUES"
        " (:tenant, :customer, :chain, :address, :branch, :index, :at)",
        {
            "tenant": tenant_id,
            "customer": customer_id,
            "chain": chain_id,
            "address": address,
            "branch": branch,
            "index": index,
            "at": at,
        },
    )
    if branch == BRANCH_NATIVE:
        await looked.watch(s, chain_id, address)
    await log.append(
        s,
        tenant_id,
        "address.issued",
        {
            "customer": format_id("customer", customer_id),
            "chain_id": str(chain_id),
            "address": address,
            "path": issued.path,
        },
        at=at,
    )
    return issued


async def _known(
    s: ReadSession, tenant_id: TenantId, customer_id: CustomerId, chain_id: int, branch: int
) -> DepositAddress | None:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM deposit_addresses WHERE tenant_id = :tenant"
        " AND customer_id = :customer AND chain_id = :chain AND branch = :branch",
        {"tenant": tenant_id, "customer": customer_id, "chain": chain_id, "branch": branch},
    )
    return None if row is None else DepositAddress(**row._mapping)


async def _index(s: WriteSession, tenant_id: TenantId, branch: int, customer_id: CustomerId) -> int:
    """The customer's index in a branch. The counter row's lock makes issue gap-free."""
    key = {"tenant": tenant_id, "branch": branch}
    await s.execute(
        "INSERT INTO address_counters (tenant_id, branch, next_index) VALUES (:tenant, :branch, 0)"
        " ON CONFLICT DO NOTHING",
        key,
    )
    next_index = await s.scalar(
        "SELECT next_index FROM address_counters"
        " WHERE tenant_id = :tenant AND branch = :branch FOR UPDATE",
        key,
    )
    known = await s.scalar(
        "SELECT index FROM address_indexes WHERE tenant_id = :tenant AND branch = :branch"
        " AND customer_id = :customer",
        {**key, "customer": customer_id},
    )
    if known is not None:
        return int(known)
    await s.execute(
        "INSERT INTO address_indexes (tenant_id, branch, index, customer_id)"
        " VALUES (:tenant, :branch, :index, :customer)",
        {**key, "index": next_index, "customer": customer_id},
    )
    await s.execute(
        "UPDATE address_counters SET next_index = next_index + 1"
        " WHERE tenant_id = :tenant AND branch = :branch",
        key,
    )
    return int(next_index)


async def by_address(s: ReadSession, chain_id: int, address: str) -> DepositAddress | None:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM deposit_addresses WHERE chain_id = :chain AND address = :address",
        {"chain": chain_id, "address": address},
    )
    return None if row is None else DepositAddress(**row._mapping)


async def on_chain(s: ReadSession, chain_id: int) -> dict[str, DepositAddress]:
    """Every deposit address on a chain, by address: the set that the scanner watches."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM deposit_addresses WHERE chain_id = :chain", {"chain": chain_id}
    )
    return {row.address: DepositAddress(**row._mapping) for row in rows}


async def anywhere(s: ReadSession, wanted: Sequence[str]) -> list[DepositAddress]:
    """Those of `wanted` that are deposit addresses, once for each chain that they are issued on."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM deposit_addresses WHERE address = ANY(:wanted)"
        " ORDER BY address, chain_id",
        {"wanted": list(wanted)},
    )
    return [DepositAddress(**row._mapping) for row in rows]


async def is_ours(s: ReadSession, address: str) -> bool:
    """Whether any chain knows `address` as a deposit address or a place of ours."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM deposit_addresses WHERE address = :address)"
            " OR EXISTS (SELECT FROM places WHERE address = :address)",
            {"address": address},
        )
    )


async def listing(
    s: ReadSession,
    tenant_id: TenantId,
    customer_id: CustomerId | None,
    cursor: str | None,
    limit: int,
) -> list[DepositAddress]:
    """By address, upwards; `cursor` is the last address seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM deposit_addresses WHERE tenant_id = :tenant"
        " AND (CAST(:customer AS uuid) IS NULL OR customer_id = :customer)"
        " AND (CAST(:cursor AS text) IS NULL OR address || '@' || chain_id > :cursor)"
        " ORDER BY address || '@' || chain_id LIMIT :limit",
        {"tenant": tenant_id, "customer": customer_id, "cursor": cursor, "limit": limit},
    )
    return [DepositAddress(**row._mapping) for row in rows]

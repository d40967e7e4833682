"""The named places on chain that an installation owns: wallets, guards, contracts, payees.

Five of them are never mixed: deposit wallets (deposits/addresses.py), the treasury, one guard a
pool, the payout wallet, and the treasury's Safe, where what is not needed at hand lies cold.
"""

from dataclasses import dataclass

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.ids import TenantId

TREASURY = "treasury"
PAYOUT = "payout"
GAS = "gas"
ALLOCATOR = "allocator"
ANCHORER = "anchorer"
GUARDIAN = "guardian"
SWEEPER = "sweeper"
HUB = "hub"
"""The contract that sweeps many deposit addresses in one transaction."""
ANCHOR = "anchor"
SAFE = "safe"
PAYOUTS = "payouts"
"""The contract that makes many payouts in one transaction."""

PATHS = {
    TREASURY: "2/0",
    PAYOUT: "2/1",
    GAS: "2/2",
    ALLOCATOR: "2/3",
    ANCHORER: "2/4",
    GUARDIAN: "2/5",
}
"""Operational wallets: `branch/index` below the tenant's hardened account."""

ROLES = {path: role for role, path in PATHS.items()}


def guard(pool_hex: str) -> str:
    """The role of the TreasuryGuard of one pool."""
    return f"guard:{pool_hex}"


def payee(name: str) -> str:
    """The role of an enrolled outside address, such as an exchange's deposit address."""
    return f"payee:{name}"


@dataclass(frozen=True, slots=True)
class Place:
    """`path` is None for contracts and outside addresses: no key of ours signs for them."""

    tenant_id: TenantId
    chain_id: int
    role: str
    address: str
    path: str | None


async def place(s: ReadSession, tenant_id: TenantId, chain_id: int, role: str) -> Place:
    """Raises NotFound where the installation has no such place on that chain."""
    row = await s.first(
        "SELECT tenant_id, chain_id, role, address, path FROM places"
        " WHERE tenant_id = :tenant AND chain_id = :chain AND role = :role",
        {"tenant": tenant_id, "chain": chain_id, "role": role},
    )
    if row is None:
        raise NotFound("place", f"{role} on chain {chain_id}")
    return Place(**row._mapping)


async def on_chain(s: ReadSession, chain_id: int) -> list[Place]:
    """Every place of every tenant on one chain."""
    rows = await s.all(
        "SELECT tenant_id, chain_id, role, address, path FROM places"
        " WHERE chain_id = :chain ORDER BY tenant_id, role",
        {"chain": chain_id},
    )
    return [Place(**row._mapping) for row in rows]


async def add(s: WriteSession, item: Place) -> None:
    """Record a place. One address a role: a second record of the role is refused by the key."""
    await s.execute(
        "INSERT INTO places (tenant_id, chain_id, role, address, path)"
        " VALUES (:tenant, :chain, :role, :address, :path)",
        {
            "tenant": item.tenant_id,
            "chain": item.chain_id,
            "role": item.role,
            "address": item.address,
            "path": item.path,
        },
    )

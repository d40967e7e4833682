"""Tenants: each has a hardened key account of its own, known here only by its xpub."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import TenantId, format_id, new_uuid7

NAME_MAX = 128


@dataclass(frozen=True, slots=True)
class Tenant:
    id: TenantId
    name: str
    account_index: int
    account_xpub: str
    created_at: datetime

    @property
    def is_founding(self) -> bool:
        """The first tenant runs the installation: its treasury may add tenants."""
        return self.account_index == 0


_COLUMNS = "id, name, account_index, account_xpub, created_at"


def _tenant(row: Row[tuple[object, ...]]) -> Tenant:
    return Tenant(**row._mapping)


async def create(
    s: WriteSession,
    name: str,
    account_index: int,
    account_xpub: str,
    *,
    at: datetime,
    tenant_id: TenantId | None = None,
) -> Tenant:
    """The xpub comes from the signer; the id too, when the ceremony has given it one.

    Raises InvalidInput for a name out of bounds, Conflict when the account index is taken.
    """
    if not 1 <= len(name) <= NAME_MAX:
        raise InvalidInput("name", f"must have 1 to {NAME_MAX} characters")
    tenant = Tenant(tenant_id or TenantId(new_uuid7()), name, account_index, account_xpub, at)
    added = await s.execute(
        f"INSERT INTO tenants ({_COLUMNS}) VALUES (:id, :name, :index, :xpub, :at) "
        "ON CONFLICT (account_index) DO NOTHING",
        {"id": tenant.id, "name": name, "index": account_index, "xpub": account_xpub, "at": at},
    )
    if added.rowcount != 1:
        raise Conflict("the account index is taken; ask again")
    data = {
        "tenant": format_id("tenant", tenant.id),
        "account_index": str(account_index),
        "xpub": account_xpub,
    }
    await log.append(s, tenant.id, "tenant.created", data, at=at)
    return tenant


async def get(s: ReadSession, tenant_id: TenantId) -> Tenant:
    """Raises NotFound."""
    row = await s.first(f"SELECT {_COLUMNS} FROM tenants WHERE id = :id", {"id": tenant_id})
    if row is None:
        raise NotFound("tenant", format_id("tenant", tenant_id))
    return _tenant(row)


async def every(s: ReadSession) -> list[Tenant]:
    """All tenants, oldest first: for jobs that serve each in turn."""
    return [_tenant(r) for r in await s.all(f"SELECT {_COLUMNS} FROM tenants ORDER BY id")]


async def next_account_index(s: ReadSession) -> int:
    """The first unused index; the unique constraint decides between two who ask at once."""
    return int(await s.scalar("SELECT coalesce(max(account_index) + 1, 0) FROM tenants"))

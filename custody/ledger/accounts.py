"""Accounts: one for each (tenant, code, asset). Made by a SQL function, never by an INSERT."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import AccountId, CustomerId, TenantId, new_uuid7
from custody.core.money import AssetId
from custody.ledger import chart

Kind = Literal["asset", "liability", "income", "expense", "receivable", "equity"]
Status = Literal["open", "frozen", "closed"]
DEBIT_NORMAL = frozenset({"asset", "expense", "receivable"})
FOREIGN_KEY_VIOLATION, NO_PARENT = "23503", "LG003"


@dataclass(frozen=True, slots=True)
class Account:
    """Counters are totals over the account's life, in base units of its asset."""

    id: AccountId
    tenant_id: TenantId
    code: str
    asset_id: AssetId
    kind: Kind
    owner_id: CustomerId | None
    parent_id: AccountId | None
    location: dict[str, Any] | None
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    may_go_negative: bool
    balance_max: int | None
    status: Status
    created_at: datetime

    @property
    def debit_normal(self) -> bool:
        return self.kind in DEBIT_NORMAL


COLUMNS = """
id, tenant_id, code, asset_id, kind, owner_id, parent_id, location, debits_posted, credits_posted,
debits_pending, credits_pending, may_go_negative, balance_max, status, created_at
"""
_OPEN = text(
    """
    SELECT id, kind, owner_id, parent_id, may_go_negative FROM ledger_open_account(
        :id, :tenant, :code, :asset, :kind, :owner, :parent, :location, :may_go_negative, :max)
    """
).bindparams(bindparam("location", type_=JSONB(none_as_null=True)))


async def ensure(
    s: WriteSession,
    tenant_id: TenantId,
    code: str,
    asset_id: AssetId,
    kind: Kind,
    *,
    owner_id: CustomerId | None = None,
    parent_id: AccountId | None = None,
    location: Mapping[str, Json] | None = None,
    may_go_negative: bool = False,
    balance_max: int | None = None,
) -> AccountId:
    """The account's id; made now if it is not there. Two callers at once get the same one.

    `balance_max` caps what a new account may hold, with what is held to come; of one that is there
    it changes nothing (see `set_balance_max`). `parent_id` is an account of the same tenant that it
    is part of (see `balances.totals`).

    Raises InvalidInput if the asset is not registered or the parent not there (the transaction is
    then lost), Conflict if the account exists as another kind, with another owner, parent or limit.
    """
    params = {
        "id": new_uuid7(),
        "tenant": tenant_id,
        "code": code,
        "asset": asset_id,
        "kind": kind,
        "owner": owner_id,
        "parent": parent_id,
        "location": location,
        "may_go_negative": may_go_negative,
        "max": balance_max,
    }
    try:
        row = await s.one(_OPEN, params)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == FOREIGN_KEY_VIOLATION:
            raise InvalidInput("asset", f"must be registered: {asset_id}") from error
        if getattr(error.orig, "sqlstate", None) == NO_PARENT:
            raise InvalidInput(
                "parent", f"must be an account of the tenant: {parent_id}"
            ) from error
        raise
    there = (row.kind, row.owner_id, row.parent_id, row.may_go_negative)
    if there != (kind, owner_id, parent_id, may_go_negative):
        raise Conflict(f"account {code} in {asset_id} exists with other properties")
    return AccountId(row.id)


async def in_flight(
    s: WriteSession, tenant_id: TenantId, chain_id: int, asset_id: AssetId
) -> AccountId:
    """The account of what has left one place and not arrived at the next on a chain.

    It may go below zero between two journals of one story.
    """
    return await ensure(
        s,
        tenant_id,
        chart.in_flight(chain_id),
        asset_id,
        "asset",
        location=chart.location("in-flight", chain_id, None, ""),
        may_go_negative=True,
    )


async def get(s: ReadSession, account_id: AccountId) -> Account:
    """Raises NotFound."""
    return account_of(
        await s.first(f"SELECT {COLUMNS} FROM accounts WHERE id = :id", {"id": account_id}),
        account_id,
    )


async def find(s: ReadSession, tenant_id: TenantId, code: str, asset_id: AssetId) -> Account | None:
    """The account by what it is for, or None."""
    row = await s.first(
        f"SELECT {COLUMNS} FROM accounts "
        "WHERE tenant_id = :tenant AND code = :code AND asset_id = :asset",
        {"tenant": tenant_id, "code": code, "asset": asset_id},
    )
    return None if row is None else account_of(row, row.id)


async def by_code(s: ReadSession, tenant_id: TenantId, code: str, asset_id: AssetId) -> AccountId:
    """The id of an account that must be there. Raises NotFound."""
    account = await find(s, tenant_id, code, asset_id)
    if account is None:
        raise NotFound("account", f"{code} in {asset_id}")
    return account.id


async def list_by_owner(
    s: ReadSession,
    tenant_id: TenantId,
    owner_id: CustomerId,
    *,
    after: AccountId | None = None,
    limit: int = 100,
) -> list[Account]:
    """A customer's accounts by id; `after` is the last id of the page before."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM accounts WHERE owner_id = :owner AND tenant_id = :tenant "
        "AND id > :after ORDER BY id LIMIT :limit",
        {"owner": owner_id, "tenant": tenant_id, "after": after or UUID(int=0), "limit": limit},
    )
    return [account_of(row, row.id) for row in rows]


async def list_by_code(
    s: ReadSession, tenant_id: TenantId, prefix: str, *, but: str | None = None
) -> list[Account]:
    """The tenant's accounts whose code begins with `prefix` and not with `but`, by code and
    asset."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM accounts WHERE tenant_id = :tenant "
        "AND starts_with(code, :prefix) AND starts_with(code, CAST(:but AS text)) IS NOT TRUE "
        "ORDER BY code, asset_id",
        {"tenant": tenant_id, "prefix": prefix, "but": but},
    )
    return [account_of(row, row.id) for row in rows]


async def is_frozen(s: ReadSession, tenant_id: TenantId, code: str, asset_id: AssetId) -> bool:
    """Whether nothing may leave it; False for an account that is not there."""
    found = await find(s, tenant_id, code, asset_id)
    return found is not None and found.status == "frozen"


async def set_status(
    s: WriteSession, tenant_id: TenantId, account_id: AccountId, status: Status
) -> None:
    """Freeze (nothing leaves), open again, or close for ever.

    Raises NotFound, or Conflict if it is closed, or is to be closed and not empty.
    """
    result = await s.scalar(
        "SELECT ledger_set_status(:tenant, :id, :status)",
        {"tenant": tenant_id, "id": account_id, "status": status},
    )
    if result == "unknown_account":
        raise NotFound("account", account_id)
    if result != "ok":
        raise Conflict(f"account {account_id} cannot become {status}: {result}")


async def set_balance_max(
    s: WriteSession, tenant_id: TenantId, account_id: AccountId, balance_max: int | None
) -> None:
    """Cap what the account may hold, or lift the cap. One below what is there stops only more.

    Raises NotFound.
    """
    params = {"tenant": tenant_id, "id": account_id, "max": balance_max}
    if not await s.scalar("SELECT ledger_set_balance_max(:tenant, :id, :max)", params):
        raise NotFound("account", account_id)


def account_of(row: Row[Any] | None, account_id: UUID) -> Account:
    if row is None:
        raise NotFound("account", account_id)
    return Account(
        id=AccountId(row.id),
        tenant_id=TenantId(row.tenant_id),
        code=row.code,
        asset_id=AssetId(row.asset_id),
        kind=row.kind,
        owner_id=None if row.owner_id is None else CustomerId(row.owner_id),
        parent_id=None if row.parent_id is None else AccountId(row.parent_id),
        location=row.location,
        debits_posted=int(row.debits_posted),
        credits_posted=int(row.credits_posted),
        debits_pending=int(row.debits_pending),
        credits_pending=int(row.credits_pending),
        may_go_negative=row.may_go_negative,
        balance_max=None if row.balance_max is None else int(row.balance_max),
        status=row.status,
        created_at=row.created_at,
    )

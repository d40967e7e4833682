"""Balances. A customer has one account an asset; staff see all accounts of their tenant."""

from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, optional_id, page
from api.auth.access import OWN
from api.auth.guard import Who
from api.deps import UseDeps, deps_of
from api.routing import Hot, Routes
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import AccountId, format_id, parse_id
from custody.ledger import accounts
from custody.ledger.accounts import Account
from custody.ledger.balances import balance_of

routes = Routes("accounts")


class AccountView(Shape):
    """`posted` is what is there, `available` that less `held`; `incoming` is not there yet."""

    id: str
    code: str
    asset: str
    kind: str
    customer: str | None
    status: str
    posted: str
    held: str
    incoming: str
    available: str


class AccountPage(Shape):
    items: list[AccountView]
    next: str | None


def _view(account: Account) -> dict[str, Any]:
    balance = balance_of(account)
    return {
        "id": format_id("account", account.id),
        "code": account.code,
        "asset": account.asset_id,
        "kind": account.kind,
        "customer": optional_id("customer", account.owner_id),
        "status": account.status,
        "posted": str(balance.posted),
        "held": str(balance.pending_out),
        "incoming": str(balance.pending_in),
        "available": str(balance.available),
    }


async def visible(s: ReadSession, who: Who, account_id: str) -> Account:
    """The account, if the caller may see it. Raises NotFound otherwise."""
    id_ = AccountId(parse_id("account", account_id, "account_id"))
    account = await accounts.get(s, id_)
    if account.tenant_id != who.tenant_id:
        raise NotFound("account", account_id)
    who.require_owner(account.owner_id, "account", id_)
    return account


@routes.get(
    "/v1/accounts/{account_id}",
    access=OWN,
    command="accounts show",
    answer=AccountView,
    hot=Hot(),
)
async def show(request: Request, who: Who) -> Response:
    """One account with its balance."""
    async with deps_of(request).hot.session() as s:
        return answer(_view(await visible(s, who, request.path_params["account_id"])))


_LIST = f"""
SELECT {accounts.COLUMNS} FROM accounts
WHERE tenant_id = :tenant AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
  AND id > :after ORDER BY id LIMIT :limit
"""


@routes.get("/v1/accounts", access=OWN, command="accounts list", answer=AccountPage)
async def listing(
    who: Who,
    deps: UseDeps,
    customer: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """A holder's own accounts; for staff all of the tenant's, or one customer's."""
    values = {
        "tenant": who.tenant_id,
        "owner": who.customer_filter(customer),
        "after": cursor_id("account", cursor) or UUID(int=0),
        "limit": limit,
    }
    async with deps.db.read() as s:
        rows = await s.all(_LIST, values)
    found = [accounts.account_of(row, row.id) for row in rows]
    return page([_view(a) for a in found], next_id("account", [a.id for a in found], limit))

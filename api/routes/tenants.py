"""Tenants of the installation. A tenant's staff see their own; the founding tenant adds others."""

from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, page
from api.auth.access import OPERATOR, STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import NotFound
from custody.core.ids import format_id, parse_id
from custody.parties import tenants
from custody.parties.tenants import NAME_MAX, Tenant

routes = Routes("tenants")


class TenantView(Shape):
    id: str
    name: str
    account_index: int
    account_xpub: str
    created_at: str


class TenantPage(Shape):
    items: list[TenantView]
    next: str | None


class NewTenant(Shape):
    name: str = Field(min_length=1, max_length=NAME_MAX)


def _view(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": format_id("tenant", tenant.id),
        "name": tenant.name,
        "account_index": tenant.account_index,
        "account_xpub": tenant.account_xpub,
        "created_at": iso_us(tenant.created_at),
    }


@routes.get("/v1/tenants", access=STAFF, command="tenants list", answer=TenantPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """The caller's tenant; for the founding tenant's staff, all of them."""
    async with deps.db.read() as s:
        if who.is_founding:
            found = await tenants.every(s)
        else:
            found = [await tenants.get(s, who.tenant_id)]
    return page([_view(t) for t in found], None)


@routes.get("/v1/tenants/{tenant_id}", access=STAFF, command="tenants show", answer=TenantView)
async def show(tenant_id: str, who: Who, deps: UseDeps) -> Response:
    """One tenant: the caller's own."""
    if parse_id("tenant", tenant_id, "tenant_id") != who.tenant_id:
        raise NotFound("tenant", tenant_id)
    async with deps.db.read() as s:
        return answer(_view(await tenants.get(s, who.tenant_id)))


async def _next_account(deps: UseDeps) -> tuple[int, str]:
    """Index and xpub of the next key account, asked for before the transaction begins.

    Of two who ask at once one gets a conflict from the unique index and asks again.
    """
    async with deps.db.read() as s:
        index = await tenants.next_account_index(s)
    return index, await deps.signer.account_xpub(index)


@routes.post(
    "/v1/tenants", access=OPERATOR, command="tenants create", answer=TenantView, status=201
)
async def create(
    body: NewTenant,
    deps: UseDeps,
    account: Annotated[tuple[int, str], Depends(_next_account)],
    write: MoneyWrite,
) -> Response:
    """A new tenant with a key account of its own at the signer."""
    index, xpub = account

    async def work(s: WriteSession) -> dict[str, Any]:
        return _view(await tenants.create(s, body.name, index, xpub, at=deps.clock.now()))

    return await write.run(work)

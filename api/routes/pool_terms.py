"""Product terms of pools: what a holder consents to, version by version."""

from typing import Any

from starlette.responses import Response

from api.answers import Document, Shape, page
from api.auth.access import ANYONE, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from router import books, products

routes = Routes("pool-terms")


class TermsView(Shape):
    version: int
    hash: str
    previous: str | None
    document: dict[str, Any]
    set_by: str
    at: str


class TermsPage(Shape):
    items: list[TermsView]
    next: str | None


class TermsSet(Shape):
    """Joining needs a new consent from here on; who holds shares is in no respect worse off."""

    pool: str
    version: int
    hash: str


@routes.get("/v1/pools/{pool_id}/terms", access=ANYONE, command="pool-terms list", answer=TermsPage)
async def listing(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Every version of the pool's product terms, newest first, each naming the one before."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await products.history(s, who.tenant_id, item.id)
    return page([{**row._mapping, "at": iso_us(row.at)} for row in found], None)


@routes.post(
    "/v1/pools/{pool_id}/terms",
    access=TREASURY,
    command="pool-terms change",
    answer=TermsSet,
    status=201,
)
async def change(
    pool_id: str, body: Document, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Set the next version (schema moorage.terms/1): no worse for anybody who holds shares."""
    id_ = pool_id_of(pool_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        new = await products.change(
            s, who.tenant_id, id_, body, set_by=who.label, at=deps.clock.now()
        )
        return {"pool": pool_id, "version": new.version, "hash": new.hash}

    return await write.run(work)

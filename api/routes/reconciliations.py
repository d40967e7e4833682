"""Reconciliations: the ledger against each place on chain, account by account, at a block."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, cursor_id, next_id, page
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from custody.assurance import report
from custody.assurance.report import Report
from custody.core.clock import iso_us
from custody.core.ids import format_id

routes = Routes("reconciliations")


class LineView(Shape):
    account: str
    asset: str
    kind: str
    block: int
    ledger: str
    listed: str | None = Field(
        default=None, description="came, and was not credited by a rule: dust, unlisted tokens"
    )
    place: str | None = Field(description="null: the place could not be read")
    difference: str | None
    accepted: str | None = Field(
        default=None, description="of the difference: what people have explained"
    )
    unread: str | None = Field(default=None, description="why the place could not be read")
    broken: bool
    stops: bool | None = Field(default=None, description="whether the asset is stopped by it")


class ReconciliationView(Shape):
    id: str
    chain_id: int
    block_number: int
    breaks: int
    lines: list[LineView]
    at: str


class ReconciliationPage(Shape):
    items: list[ReconciliationView]
    next: str | None


def _view(made: Report) -> dict[str, Any]:
    return {
        "id": format_id("reconciliation", made.id),
        "chain_id": made.chain_id,
        "block_number": made.block_number,
        "breaks": made.breaks,
        "lines": list(made.lines),
        "at": iso_us(made.at),
    }


@routes.get(
    "/v1/reconciliations",
    access=STAFF,
    command="reconciliations list",
    answer=ReconciliationPage,
)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 20) -> Response:
    """Newest first, with every line."""
    after = cursor_id("reconciliation", cursor)
    async with deps.db.read() as s:
        found = await report.listing(s, who.tenant_id, after, limit)
    return page([_view(r) for r in found], next_id("reconciliation", [r.id for r in found], limit))

"""Statements: what moved on an account in a span of time, and that it adds up."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, parse_time
from api.auth.access import OWN
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.accounts import visible
from api.routing import Routes
from custody.core.errors import InvalidInput
from custody.ledger import statements
from custody.ledger.statements import Statement

routes = Routes("statements")


class StatementLine(Shape):
    transfer: str
    event_at: str
    created_at: str
    code: str
    counterpart: str
    amount: str
    balance: str
    reverses: str | None
    chain_id: int | None
    block_number: int | None
    reference: str | None
    memo: str | None = Field(description="its text; null where there is none or it was erased")


class StatementView(Shape):
    """closing = opening + the sum of all amounts, each signed by the account's normal side."""

    account: str
    code: str
    asset: str
    start: str
    end: str
    by: str
    opening: str
    closing: str
    lines: list[StatementLine]


async def _load(
    account_id: str, who: Who, deps: UseDeps, times: tuple[datetime, datetime], by: statements.Time
) -> Statement:
    """Memos as texts: whoever may see the account is their writer, their reader, or staff."""
    async with deps.db.snapshot() as s:
        account = await visible(s, who, account_id)
        found = await statements.statement(s, account.id, *times, by)
        return await statements.with_texts(s, who.tenant_id, found)


def span(start: str, end: str) -> tuple[datetime, datetime]:
    """Both times. Raises InvalidInput."""
    first, last = parse_time(start, "start"), parse_time(end, "end")
    if last <= first:
        raise InvalidInput("end", "must be after start")
    return first, last


Start = Annotated[str, Query(max_length=40, description="from this time (ISO 8601)")]
End = Annotated[str, Query(max_length=40, description="before this time (ISO 8601)")]
By = Annotated[Literal["created_at", "event_at"], Query(description="the ledger's or the world's")]


@routes.get(
    "/v1/accounts/{account_id}/statement",
    access=OWN,
    command="statements show",
    answer=StatementView,
)
async def show(
    account_id: str, who: Who, deps: UseDeps, start: Start, end: End, by: By = "created_at"
) -> Response:
    """Opening balance, every line, closing balance."""
    found: dict[str, Any] = statements.to_json(
        await _load(account_id, who, deps, span(start, end), by)
    )
    return answer(found)


@routes.get(
    "/v1/accounts/{account_id}/statement.csv",
    access=OWN,
    command="statements csv",
    answer="text/csv",
)
async def as_csv(
    account_id: str, who: Who, deps: UseDeps, start: Start, end: End, by: By = "created_at"
) -> Response:
    """The same as RFC 4180 CSV."""
    found = await _load(account_id, who, deps, span(start, end), by)
    return Response(statements.to_csv(found), media_type="text/csv")

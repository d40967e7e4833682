"""The operator's income in a pool, and its payment to an enrolled payee."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import Refused
from custody.core.ids import format_id
from custody.core.money import parse_amount
from router import books, income

routes = Routes("income")


class NewPayment(Shape):
    payee: str = Field(max_length=42, description="an enrolled payee of the policy")
    amount: str = Field(max_length=78)


class IncomeView(Shape):
    """`payable` is the most that may be paid now: no more than the unpaid income (`management`,
    `spread` with what was over a rate cap, `fees` of exits), than what lies `inside` beside all
    that holders are owed, than is `idle` beside what waiting exits want."""

    pool: str
    asset: str
    payable: str
    management: str
    spread: str
    fees: str
    inside: str
    idle: str


class PaymentView(Shape):
    """It waits for two approvals of `intent`, by others than who asked."""

    id: str
    pool: str
    intent: str
    payee: str
    amount: str
    management: str
    spread: str
    fees: str
    state: str = Field(description="waiting, paid or failed")
    reason: str | None
    tx_hash: str | None
    requested_by: str
    created_at: str


class PaymentPage(Shape):
    items: list[PaymentView]
    next: str | None


def _view(row: Any) -> dict[str, Any]:
    return {
        "id": format_id("income_payment", row.id),
        "pool": format_id("pool", row.pool_id),
        "intent": format_id("intent", row.intent_id),
        "payee": row.payee,
        **{name: str(int(getattr(row, name))) for name in ("amount", *income.PARTS)},
        "state": row.state,
        "reason": row.reason,
        "tx_hash": row.tx_hash,
        "requested_by": format_id("person", row.requested_by),
        "created_at": iso_us(row.created_at),
    }


@routes.get("/v1/pools/{pool_id}/income", access=STAFF, command="income show", answer=IncomeView)
async def show(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """What of a pool is the operator's and not paid yet."""
    async with deps.db.snapshot() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await income.payable(s, item)
    return answer(
        {
            "pool": pool_id,
            "asset": item.asset_id,
            "payable": str(found.amount),
            **{name: str(found.left[name]) for name in income.PARTS},
            "inside": str(found.inside),
            "idle": str(found.idle),
        }
    )


@routes.get(
    "/v1/pools/{pool_id}/income-payments",
    access=STAFF,
    command="income list",
    answer=PaymentPage,
)
async def listing(
    pool_id: str, who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """Payments of the operator's income, newest first."""
    after = cursor_id("income_payment", cursor)
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await income.listing(s, who.tenant_id, item.id, after, limit)
    return page([_view(r) for r in found], next_id("income_payment", [r.id for r in found], limit))


@routes.post(
    "/v1/pools/{pool_id}/income-payments",
    access=TREASURY,
    command="income pay",
    answer=PaymentView,
    status=201,
)
async def pay(
    pool_id: str, body: NewPayment, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Ask to pay income of a pool to an enrolled payee. Two others have to approve the intent."""
    id_, person = pool_id_of(pool_id), who.person_id
    amount = int(parse_amount(body.amount, "amount"))
    if person is None:
        raise Refused("token", "must be bound to a person: who asks may not approve")

    async def work(s: WriteSession) -> dict[str, Any]:
        row = await income.ask(
            s, who.tenant_id, id_, body.payee, amount, by=person, at=deps.clock.now()
        )
        return _view(row)

    return await write.run(work)

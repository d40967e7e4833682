"""Payments that a restore lost and `doctor --repair` brought back; a person says who pays."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import IntentId, format_id, parse_id
from custody.settlement import restored
from custody.settlement.restored import Resolution, Restored
from custody.withdrawals import suspense

routes = Routes("restored-payments")
MOST = 1_000


class Word(Shape):
    outcome: Literal["charged", "borne"] = Field(
        description="charged to the customer whom the signed intent names, or borne by the operator"
    )


class RestoredView(Shape):
    intent: str
    position: int = Field(description="of a batch: which of its payouts, from 0")
    chain_id: int
    asset: str
    amount: str
    beneficiary: str
    restored_at: str
    paid: str | None = Field(description="by the whole intent, base units; null until it is final")
    outcome: str | None
    resolved_at: str | None


class RestoredPage(Shape):
    items: list[RestoredView]
    next: str | None


def _view(r: Restored) -> dict[str, Any]:
    return {
        "intent": format_id("intent", r.intent_id),
        "position": r.number,
        "chain_id": r.chain_id,
        "asset": r.asset_id,
        "amount": str(r.amount),
        "beneficiary": r.beneficiary,
        "restored_at": iso_us(r.restored_at),
        "paid": None if r.booked is None else str(r.booked),
        "outcome": r.outcome,
        "resolved_at": None if r.resolved_at is None else iso_us(r.resolved_at),
    }


@routes.get(
    "/v1/restored-payments", access=STAFF, command="restored-payments list", answer=RestoredPage
)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Those that nobody has resolved yet, oldest first, up to 1,000."""
    async with deps.db.read() as s:
        found = await restored.unresolved(s, who.tenant_id, MOST)
    return page([_view(r) for r in found], None)


@routes.post(
    "/v1/restored-payments/{intent_id}/resolve",
    access=TREASURY,
    command="restored-payments resolve",
    answer=RestoredPage,
)
async def resolve(
    intent_id: str, body: Word, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Say who pays for it. From then on its destinations may be paid again."""
    try:
        id_ = IntentId(parse_id("intent", intent_id, "intent_id"))
    except InvalidInput:
        raise NotFound("restored payment", intent_id, "intent_id") from None

    async def work(s: WriteSession) -> dict[str, Any]:
        await suspense.resolve(s, deps.clock, who.tenant_id, id_, Resolution(body.outcome))
        found = await restored.of_intent(s, who.tenant_id, id_)
        return {"items": [_view(r) for r in found], "next": None}

    return await write.run(work, 200)

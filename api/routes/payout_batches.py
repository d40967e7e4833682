"""Batches of payouts: many recipients, one transaction, asked for at once and watched together."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import HOLDER, OWN
from api.auth.guard import Who
from api.deps import Deps, UseDeps
from api.destinations import look
from api.inputs import known_asset, known_chain
from api.routing import Routes
from api.writes import LateMoneyWrite, MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.ids import BatchId, format_id, parse_id
from custody.core.intents import Payout
from custody.core.money import parse_amount
from custody.withdrawals.batches import rows, settle
from custody.withdrawals.batches.request import BATCH_MAX, BatchInput, request
from custody.withdrawals.batches.rows import Batch, Item

routes = Routes("payout-batches")


class NewPayout(Shape):
    destination: str = Field(max_length=64, description="EIP-55 address outside this service")
    amount: str = Field(description="what the destination gets, base units; fees come on top")
    reference: str = Field(
        max_length=64, description="your own id of it, once a batch; it is in the log: not a name"
    )


class NewBatch(Shape):
    chain_id: int
    asset: str = Field(max_length=160)
    payouts: list[NewPayout] = Field(description=f"1 to {BATCH_MAX}")
    gross_max: str | None = Field(
        default=None, description="refuse if amounts and fees together are above this, base units"
    )


class BatchView(Shape):
    id: str
    customer: str
    chain_id: int
    asset: str
    gross: str
    network_fee: str
    service_fee: str
    net: str
    state: str
    reason: str | None
    fee_plan: str
    fee_plan_version: int
    intent: str
    created_at: str


class PayoutView(Shape):
    position: int
    destination: str
    amount: str
    service_fee: str
    reference: str
    state: str


class BatchDetail(BatchView):
    payouts: list[PayoutView]


class BatchPage(Shape):
    items: list[BatchView]
    next: str | None


def _view(b: Batch) -> dict[str, Any]:
    return {
        "id": format_id("batch", b.id),
        "customer": format_id("customer", b.customer_id),
        "chain_id": b.chain_id,
        "asset": b.asset_id,
        "gross": str(b.gross),
        "network_fee": str(b.network_fee),
        "service_fee": str(b.service_fee),
        "net": str(b.net),
        "state": b.state.value,
        "reason": b.reason,
        "fee_plan": b.fee_plan,
        "fee_plan_version": b.fee_plan_version,
        "intent": format_id("intent", b.intent_id),
        "created_at": iso_us(b.created_at),
    }


def _payout(item: Item) -> dict[str, Any]:
    return {
        "position": item.number,
        "destination": item.destination,
        "amount": str(item.amount),
        "service_fee": str(item.service_fee),
        "reference": item.reference,
        "state": item.state.value,
    }


def _parse(body: NewBatch, who: Who, deps: Deps) -> BatchInput:
    """In the order asset, chain, payouts, bound. Raises InvalidInput."""
    asset = known_asset(deps.registry, body.asset)
    known_chain(deps.registry, body.chain_id)
    made = tuple(
        Payout(p.destination, parse_amount(p.amount, f"payouts.{i}.amount"), p.reference)
        for i, p in enumerate(body.payouts)
    )
    bound = None if body.gross_max is None else parse_amount(body.gross_max, "gross_max")
    return BatchInput(
        tenant_id=who.tenant_id,
        customer_id=who.own_customer(),
        chain_id=body.chain_id,
        asset_id=asset,
        payouts=made,
        gross_max=bound,
        initiator=who.label,
    )


@routes.post(
    "/v1/payout-batches",
    access=HOLDER,
    command="payout-batches request",
    answer=BatchView,
    status=201,
)
async def create(body: NewBatch, who: Who, deps: UseDeps, write: LateMoneyWrite) -> Response:
    """Hold the sum and all fees, and ask for the payouts; all of them are taken, or none."""
    asked = _parse(body, who, deps)
    recipients = [p.recipient for p in asked.payouts]

    async def read() -> None:
        await look(deps, who, asked.asset_id, asked.chain_id, recipients)

    async def work(s: WriteSession, _: None) -> dict[str, Any]:
        return _view(await request(s, deps.withdrawals, asked, at=deps.clock.now()))

    return await write.run(read, work)


@routes.get("/v1/payout-batches", access=OWN, command="payout-batches list", answer=BatchPage)
async def listing(
    who: Who, deps: UseDeps, customer: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """Newest first."""
    wanted, after = who.customer_filter(customer), cursor_id("batch", cursor)
    async with deps.db.read() as s:
        found = await rows.listing(s, who.tenant_id, wanted, after, limit)
    return page([_view(b) for b in found], next_id("batch", [b.id for b in found], limit))


def _id(batch_id: str) -> BatchId:
    return BatchId(parse_id("batch", batch_id, "batch_id"))


@routes.get(
    "/v1/payout-batches/{batch_id}", access=OWN, command="payout-batches show", answer=BatchDetail
)
async def show(batch_id: str, who: Who, deps: UseDeps) -> Response:
    """One batch, how far it is, and what became of each payout."""
    async with deps.db.read() as s:
        found = await rows.get(s, who.tenant_id, _id(batch_id))
        who.require_owner(found.customer_id, "batch", found.id)
        items = await rows.items(s, found.id)
    return answer({**_view(found), "payouts": [_payout(i) for i in items]})


@routes.post(
    "/v1/payout-batches/{batch_id}/cancel",
    access=HOLDER,
    command="payout-batches cancel",
    answer=BatchView,
)
async def cancel(batch_id: str, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Give up a batch that nothing has been signed for; the hold is let go."""
    id_ = _id(batch_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await rows.get(s, who.tenant_id, id_, lock=True)
        who.require_owner(found.customer_id, "batch", id_)
        await settle.cancel(s, deps.clock, found, "cancelled by the holder")
        return _view(await rows.get(s, who.tenant_id, id_))

    return await write.run(work, 200)

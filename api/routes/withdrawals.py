"""Withdrawals: quoted, then requested on exactly that quote, then watched."""

from datetime import datetime
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import (
    Cursor,
    Limit,
    Shape,
    answer,
    cursor_id,
    next_id,
    optional_id,
    page,
    parse_time,
)
from api.auth.access import HOLDER, OWN
from api.auth.guard import Who
from api.deps import UseDeps
from api.destinations import look
from api.inputs import checked_address, known_asset, known_chain
from api.routing import Routes
from api.writes import LateMoneyWrite, MoneyWrite, Writing
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.ids import PoolId, QuoteId, WithdrawalId, format_id, parse_id
from custody.core.money import parse_amount
from custody.withdrawals import quote as quotes
from custody.withdrawals import rows, settle
from custody.withdrawals.quote import Quote
from custody.withdrawals.request import RequestInput, request
from custody.withdrawals.rows import Withdrawal

routes = Routes("withdrawals")


class NewQuote(Shape):
    asset: str = Field(max_length=160)
    amount: str = Field(description="gross, base units")


class QuoteView(Shape):
    id: str
    chain_id: int
    asset: str
    gross: str
    network_fee: str
    service_fee: str
    net: str
    fee_plan: str = Field(description="'default' is the installation's own")
    fee_plan_version: int
    expires_at: str


class NewWithdrawal(Shape):
    """What the quote says must be said again: the request binds it."""

    quote: str
    chain_id: int
    asset: str = Field(max_length=160)
    amount: str = Field(description="gross, base units")
    destination: str = Field(max_length=64, description="EIP-55 address outside this service")
    pool: str | None = Field(default=None, description="redeem from here what the balance lacks")
    not_before: str | None = Field(
        default=None,
        max_length=40,
        description="RFC 3339 time with an offset, at most 31 days ahead: nothing is sent before",
    )
    network_fee_max: str | None = Field(
        default=None,
        max_length=78,
        description="wei of the chain's coin that the transaction may cost at most (gas limit x fee"
        " per gas): it waits while the chain asks for more, until 24 hours after not_before",
    )


class WithdrawalView(Shape):
    id: str
    customer: str
    quote: str
    chain_id: int
    asset: str
    destination: str
    gross: str
    network_fee: str
    service_fee: str
    net: str
    pool: str | None
    pool_amount: str
    state: str
    reason: str | None
    not_before: str | None = Field(description="RFC 3339, UTC")
    network_fee_max: str | None = Field(description="wei of the chain's coin")
    intent: str
    created_at: str


class WithdrawalPage(Shape):
    items: list[WithdrawalView]
    next: str | None


def _quote(q: Quote) -> dict[str, Any]:
    return {
        "id": format_id("quote", q.id),
        "chain_id": q.chain_id,
        "asset": q.asset_id,
        "gross": str(q.gross),
        "network_fee": str(q.network_fee),
        "service_fee": str(q.service_fee),
        "net": str(q.net),
        "fee_plan": q.fee_plan,
        "fee_plan_version": q.fee_plan_version,
        "expires_at": iso_us(q.expires_at),
    }


def _view(w: Withdrawal) -> dict[str, Any]:
    return {
        "id": format_id("withdrawal", w.id),
        "customer": format_id("customer", w.customer_id),
        "quote": format_id("quote", w.quote_id),
        "chain_id": w.chain_id,
        "asset": w.asset_id,
        "destination": w.destination,
        "gross": str(w.gross),
        "network_fee": str(w.network_fee),
        "service_fee": str(w.service_fee),
        "net": str(w.net),
        "pool": optional_id("pool", w.pool_id),
        "pool_amount": str(w.pool_amount),
        "state": w.state.value,
        "reason": w.reason,
        "not_before": None if w.not_before is None else iso_us(w.not_before),
        "network_fee_max": None if w.network_fee_max is None else str(w.network_fee_max),
        "intent": format_id("intent", w.intent_id),
        "created_at": iso_us(w.created_at),
    }


@routes.post(
    "/v1/withdrawals/quote",
    access=HOLDER,
    command="withdrawals quote",
    answer=QuoteView,
    status=201,
)
async def make_quote(body: NewQuote, who: Who, deps: UseDeps, s: Writing) -> Response:
    """What a withdrawal will cost; good for ten minutes and one request."""
    asset = known_asset(deps.registry, body.asset)
    amount = parse_amount(body.amount)
    made = await quotes.make(
        s,
        deps.withdrawals,
        who.tenant_id,
        who.own_customer(),
        asset,
        amount,
        at=deps.clock.now(),
    )
    return answer(_quote(made), 201)


def _parse(body: NewWithdrawal, who: Who, deps: UseDeps) -> RequestInput:
    """Raises InvalidInput: asset, amount, chain, destination, quote, pool, time, fee."""
    asset = known_asset(deps.registry, body.asset)
    amount = parse_amount(body.amount)
    known_chain(deps.registry, body.chain_id)
    destination = checked_address(body.destination, "destination")
    return RequestInput(
        tenant_id=who.tenant_id,
        customer_id=who.own_customer(),
        quote_id=QuoteId(parse_id("quote", body.quote, "quote")),
        chain_id=body.chain_id,
        asset_id=asset,
        amount=amount,
        destination=destination,
        pool_id=None if body.pool is None else PoolId(parse_id("pool", body.pool, "pool")),
        initiator=who.label,
        not_before=_not_before(body),
        network_fee_max=_fee_max(body),
    )


def _not_before(body: NewWithdrawal) -> datetime | None:
    return None if body.not_before is None else parse_time(body.not_before, "not_before")


def _fee_max(body: NewWithdrawal) -> int | None:
    given = body.network_fee_max
    return None if given is None else parse_amount(given, "network_fee_max")


@routes.post(
    "/v1/withdrawals",
    access=HOLDER,
    command="withdrawals request",
    answer=WithdrawalView,
    status=201,
)
async def create(body: NewWithdrawal, who: Who, deps: UseDeps, write: LateMoneyWrite) -> Response:
    """Hold the gross and ask for the payout. It then goes its way by itself."""
    asked = _parse(body, who, deps)
    recipients = [asked.destination]

    async def read() -> None:
        await look(deps, who, asked.asset_id, asked.chain_id, recipients)

    async def work(s: WriteSession, _: None) -> dict[str, Any]:
        return _view(await request(s, deps.withdrawals, asked, at=deps.clock.now()))

    return await write.run(read, work)


@routes.get("/v1/withdrawals", access=OWN, command="withdrawals list", answer=WithdrawalPage)
async def listing(
    who: Who, deps: UseDeps, customer: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """Newest first."""
    wanted, after = who.customer_filter(customer), cursor_id("withdrawal", cursor)
    async with deps.db.read() as s:
        found = await rows.listing(s, who.tenant_id, wanted, after, limit)
    return page([_view(w) for w in found], next_id("withdrawal", [w.id for w in found], limit))


def _id(withdrawal_id: str) -> WithdrawalId:
    return WithdrawalId(parse_id("withdrawal", withdrawal_id, "withdrawal_id"))


@routes.get(
    "/v1/withdrawals/{withdrawal_id}",
    access=OWN,
    command="withdrawals show",
    answer=WithdrawalView,
)
async def show(withdrawal_id: str, who: Who, deps: UseDeps) -> Response:
    """One withdrawal and how far it is."""
    async with deps.db.read() as s:
        found = await rows.get(s, who.tenant_id, _id(withdrawal_id))
    who.require_owner(found.customer_id, "withdrawal", found.id)
    return answer(_view(found))


@routes.post(
    "/v1/withdrawals/{withdrawal_id}/cancel",
    access=HOLDER,
    command="withdrawals cancel",
    answer=WithdrawalView,
)
async def cancel(withdrawal_id: str, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Give up a withdrawal that nothing has been signed for; the hold is let go."""
    id_ = _id(withdrawal_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await rows.get(s, who.tenant_id, id_, lock=True)
        who.require_owner(found.customer_id, "withdrawal", id_)
        await settle.cancel(s, deps.clock, found, "cancelled by the holder")
        return _view(await rows.get(s, who.tenant_id, id_))

    return await write.run(work, 200)

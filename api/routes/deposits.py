"""Where customers pay in, and what has been paid in."""

import re
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, optional_id, page
from api.auth.access import HOLDER_OR_TREASURY, OWN, STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import known_chain
from api.routing import Routes
from api.writes import Writing
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import DepositId, format_id, parse_id
from custody.deposits import addresses, listing, unlisted
from custody.deposits.addresses import DepositAddress
from custody.deposits.listing import Deposit
from custody.deposits.sweeping import record
from custody.deposits.unlisted import Arrival
from custody.parties import customers

routes = Routes("deposits")
State = Literal["seen", "credited", "orphaned", "quarantined", "listed", "dismissed"]
_BRANCHES = {"native": addresses.BRANCH_NATIVE, "token": addresses.BRANCH_TOKEN}


class NewAddress(Shape):
    chain_id: int
    branch: Literal["native", "token"] = Field(description="which coins: the chain's own or tokens")
    customer: str | None = Field(default=None, description="for staff: whose address")


class AddressView(Shape):
    address: str
    chain_id: int
    branch: str
    path: str
    customer: str
    created_at: str


class AddressPage(Shape):
    items: list[AddressView]
    next: str | None


class DepositView(Shape):
    id: str
    customer: str | None
    chain_id: int
    asset: str
    amount: str
    address: str
    sender: str
    tx_hash: str
    log_index: int = Field(
        description="of the event; -1 for the native coin, -2 for what only the balance shows:"
        " tx_hash is then the hash of the block"
    )
    trace_path: str = Field(description="of what a contract sent: its place among the calls")
    block_number: int
    block_hash: str
    state: str
    reason: str | None = Field(description="why it is in quarantine, or only listed")
    arrived: str | None = Field(description="what its owner got, where that is measured")
    frozen_at: str | None = Field(description="since when it is neither credited nor spendable")
    transfer: str | None
    event_at: str
    created_at: str


class DepositPage(Shape):
    items: list[DepositView]
    next: str | None


class SweepPlanView(Shape):
    chain_id: int
    address: str
    asset: str
    amount: str
    strategy: str | None
    sweep: bool = Field(description="whether it was started")
    reason: str
    cost_wei: str
    value_wei: str | None = Field(description="null without an agreed price")
    fee_per_gas: str
    decided_at: str


class SweepPlanPage(Shape):
    items: list[SweepPlanView]
    next: str | None


class UnlistedView(Shape):
    chain_id: int
    token: str
    amount: str = Field(description="what its own event says, in its own units")
    customer: str
    address: str
    sender: str
    tx_hash: str
    log_index: int
    block_number: int
    event_at: str


class UnlistedPage(Shape):
    items: list[UnlistedView]
    next: str | None


def _unlisted(item: Arrival) -> dict[str, Any]:
    return {
        "chain_id": item.chain_id,
        "token": item.token,
        "amount": str(item.amount),
        "customer": format_id("customer", item.customer_id),
        "address": item.address,
        "sender": item.sender,
        "tx_hash": item.tx_hash,
        "log_index": item.log_index,
        "block_number": item.block_number,
        "event_at": iso_us(item.event_at),
    }


def _place(cursor: str | None) -> tuple[int, int] | None:
    """Block and log index."""
    if cursor is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}\.[0-9]{1,9}", cursor):
        raise InvalidInput("cursor", "must be `next` of the page before")
    block, _, index = cursor.partition(".")
    return int(block), int(index)


def _address(item: DepositAddress) -> dict[str, Any]:
    return {
        "address": item.address,
        "chain_id": item.chain_id,
        "branch": "native" if item.branch == addresses.BRANCH_NATIVE else "token",
        "path": item.path,
        "customer": format_id("customer", item.customer_id),
        "created_at": iso_us(item.created_at),
    }


def view(item: Deposit) -> dict[str, Any]:
    return {
        "id": format_id("deposit", item.id),
        "customer": optional_id("customer", item.customer_id),
        "chain_id": item.chain_id,
        "asset": item.asset_id,
        "amount": str(item.amount),
        "address": item.address,
        "sender": item.sender,
        "tx_hash": item.tx_hash,
        "log_index": item.log_index,
        "trace_path": item.trace_path,
        "block_number": item.block_number,
        "block_hash": item.block_hash,
        "state": item.state,
        "reason": item.reason,
        "arrived": None if item.arrived is None else str(item.arrived),
        "frozen_at": None if item.frozen_at is None else iso_us(item.frozen_at),
        "transfer": optional_id("transfer", item.transfer_id),
        "event_at": iso_us(item.block_time),
        "created_at": iso_us(item.created_at),
    }


@routes.post(
    "/v1/deposit-addresses",
    access=HOLDER_OR_TREASURY,
    command="deposit-addresses create",
    answer=AddressView,
    status=201,
)
async def issue(body: NewAddress, who: Who, deps: UseDeps, s: Writing) -> Response:
    """The customer's address on a chain; the same one however often it is asked for."""
    customer = who.customer_filter(body.customer)
    if customer is None:
        raise InvalidInput("customer", "must be given by staff")
    known_chain(deps.registry, body.chain_id)
    await customers.get(s, who.tenant_id, customer)
    branch = _BRANCHES[body.branch]
    issued = await addresses.issue(
        s, who.tenant_id, customer, body.chain_id, branch, at=deps.clock.now()
    )
    return answer(_address(issued), 201)


@routes.get(
    "/v1/deposit-addresses", access=OWN, command="deposit-addresses list", answer=AddressPage
)
async def list_addresses(
    who: Who, deps: UseDeps, customer: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """A holder's addresses; for staff the tenant's or one customer's."""
    wanted = who.customer_filter(customer)
    async with deps.db.read() as s:
        found = await addresses.listing(s, who.tenant_id, wanted, cursor, limit)
    last = f"{found[-1].address}@{found[-1].chain_id}" if len(found) == limit else None
    return page([_address(a) for a in found], last)


@routes.get("/v1/deposits", access=OWN, command="deposits list", answer=DepositPage)
async def list_deposits(
    who: Who,
    deps: UseDeps,
    customer: str | None = None,
    state: Annotated[State | None, Query(description="only those in this state")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """Newest first: pending until the chain is sure, then credited, or orphaned by a reorg."""
    wanted, after = who.customer_filter(customer), cursor_id("deposit", cursor)
    async with deps.db.read() as s:
        found = await listing.deposits(s, who.tenant_id, wanted, after, limit, state)
    return page([view(d) for d in found], next_id("deposit", [d.id for d in found], limit))


@routes.get(
    "/v1/unlisted-arrivals",
    access=STAFF,
    command="deposits unlisted",
    answer=UnlistedPage,
)
async def list_unlisted(
    who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """Tokens that came and are on no list, newest first: nobody is credited."""
    async with deps.db.read() as s:
        found = await unlisted.listing(s, who.tenant_id, _place(cursor), limit)
    last = f"{found[-1].block_number}.{found[-1].log_index}" if len(found) == limit else None
    return page([_unlisted(a) for a in found], last)


@routes.get("/v1/sweep-plans", access=STAFF, command="sweep-plans list", answer=SweepPlanPage)
async def list_sweep_plans(
    who: Who, deps: UseDeps, chain_id: int | None = None, limit: Limit = 50
) -> Response:
    """What was decided last of each deposit address, and why; the newest decisions first."""
    if chain_id is not None:
        known_chain(deps.registry, chain_id)
    async with deps.db.read() as s:
        found = await record.listing(s, who.tenant_id, chain_id, limit)
    return page([{**x, "decided_at": iso_us(x["decided_at"])} for x in found], None)


@routes.get("/v1/deposits/{deposit_id}", access=OWN, command="deposits show", answer=DepositView)
async def show(deposit_id: str, who: Who, deps: UseDeps) -> Response:
    """One deposit."""
    id_ = DepositId(parse_id("deposit", deposit_id, "deposit_id"))
    async with deps.db.read() as s:
        found = await listing.deposit(s, who.tenant_id, id_)
    if found.customer_id is None and who.customer_id is not None:
        raise NotFound("deposit", deposit_id)
    who.require_owner(found.customer_id, "deposit", id_)
    return answer(view(found))

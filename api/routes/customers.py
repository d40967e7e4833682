"""Customers: the holders of balances, and what is known of them as persons."""

from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import OWN, STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import Writing
from custody.core.clock import iso_us
from custody.core.ids import format_id, parse_id
from custody.parties import customers, personal
from custody.parties.customers import Customer

routes = Routes("customers")


class Personal(Shape):
    name: str | None = Field(default=None, min_length=1, max_length=personal.VALUE_MAX)
    email: str | None = Field(default=None, min_length=3, max_length=personal.VALUE_MAX)
    country: str | None = Field(default=None, pattern="^[A-Z]{2}$")


class NewCustomer(Shape):
    reference: str = Field(min_length=1, max_length=64, description="your own id; not a name")
    personal: Personal | None = None


class CustomerView(Shape):
    id: str
    reference: str
    created_at: str


class CustomerDetail(CustomerView):
    personal: Personal | None


class CustomerPage(Shape):
    items: list[CustomerView]
    next: str | None


class Erased(Shape):
    id: str
    erased: bool


def _view(customer: Customer) -> dict[str, Any]:
    return {
        "id": format_id("customer", customer.id),
        "reference": customer.reference,
        "created_at": iso_us(customer.created_at),
    }


def _own(who: Who, customer_id: str) -> UUID:
    id_ = parse_id("customer", customer_id, "customer_id")
    who.require_owner(id_, "customer", id_)
    return id_


@routes.post(
    "/v1/customers", access=TREASURY, command="customers create", answer=CustomerView, status=201
)
async def create(body: NewCustomer, who: Who, deps: UseDeps, s: Writing) -> Response:
    """A new customer; personal data is sealed under a key of its own."""
    now = deps.clock.now()
    customer = await customers.create(s, who.tenant_id, body.reference, at=now)
    known = body.personal.model_dump(exclude_none=True) if body.personal else {}
    if known:
        await personal.store(s, who.tenant_id, customer.id, known, at=now)
    return answer(_view(customer), 201)


@routes.get("/v1/customers", access=STAFF, command="customers list", answer=CustomerPage)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The tenant's customers, oldest first."""
    async with deps.db.read() as s:
        found = await customers.listing(s, who.tenant_id, cursor_id("customer", cursor), limit)
    return page([_view(c) for c in found], next_id("customer", [c.id for c in found], limit))


@routes.get(
    "/v1/customers/{customer_id}", access=OWN, command="customers show", answer=CustomerDetail
)
async def show(customer_id: str, who: Who, deps: UseDeps) -> Response:
    """One customer with the personal data on file."""
    id_ = _own(who, customer_id)
    async with deps.db.read() as s:
        customer = await customers.get(s, who.tenant_id, id_)
        known = await personal.load(s, who.tenant_id, id_)
    return answer({**_view(customer), "personal": known})


@routes.delete(
    "/v1/customers/{customer_id}/personal",
    access=TREASURY,
    command="customers erase",
    answer=Erased,
)
async def erase(customer_id: str, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Destroy the key of the customer's personal data. Balances and proofs stay as they are."""
    id_ = _own(who, customer_id)
    await customers.get(s, who.tenant_id, id_)
    erased = await personal.erase(s, who.tenant_id, id_, at=deps.clock.now())
    return answer({"id": customer_id, "erased": erased})

"""The address book: entries that a person signed, in force once they have cooled."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import PersonSignature, signatures
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput, NotFound
from custody.core.governance import Address
from custody.core.ids import format_id, parse_id
from custody.policy import addressbook, policies
from custody.policy.addressbook import Entry

routes = Routes("address-book")


class NewAddress(Shape):
    """Exactly what the person signed, `moorage.address/1`, with the signature."""

    entry: str
    chain_id: str = Field(pattern="^[1-9][0-9]{0,18}$")
    address: str = Field(pattern="^0x[0-9a-fA-F]{40}$")
    label: str = Field(min_length=1, max_length=200)
    person: str
    signature: str = Field(pattern="^[0-9a-f]{128}$")
    consents: list[PersonSignature] = Field(default=[], max_length=10)


class AddressView(Shape):
    entry: str
    chain_id: str
    address: str
    label: str
    person: str
    entered_at: str
    active_at: str
    removed_at: str | None


class AddressPage(Shape):
    items: list[AddressView]
    next: str | None


def _view(e: Entry, cooling_s: int) -> dict[str, Any]:
    return {
        "entry": format_id("address", e.id),
        "chain_id": str(e.chain_id),
        "address": e.address,
        "label": e.label,
        "person": format_id("person", e.person_id),
        "entered_at": iso_us(e.entered_at),
        "active_at": iso_us(e.entered_at + timedelta(seconds=cooling_s)),
        "removed_at": None if e.removed_at is None else iso_us(e.removed_at),
    }


@routes.get("/v1/address-book", access=STAFF, command="address-book list", answer=AddressPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Every entry, removed ones too, and from when on it may be paid."""
    async with deps.db.read() as s:
        found = await addressbook.every(s, who.tenant_id)
        cooling = (await policies.current(s, who.tenant_id)).cooling_s if found else 0
    return page([_view(e, cooling) for e in found], None)


@routes.post(
    "/v1/address-book",
    access=TREASURY,
    command="address-book add",
    answer=AddressView,
    status=201,
)
async def add(body: NewAddress, who: Who, deps: UseDeps) -> Response:
    """Enter an address. The signer checks the signatures and keeps the time; the same again is
    fine."""
    entry = Address(
        parse_id("address", body.entry, "entry"),
        who.tenant_id,
        int(body.chain_id),
        body.address,
        body.label,
        parse_id("person", body.person, "person"),
    )
    async with deps.db.read() as s:
        cooling = (await policies.current(s, who.tenant_id)).cooling_s
    agreed = signatures(body.consents)
    since_s = await deps.signer.add_address(entry, body.signature, agreed)
    since = datetime.fromtimestamp(since_s, UTC)
    # Its own transaction, opened only now: the signer has answered.
    async with deps.db.write() as s:
        made = await addressbook.enter(
            s, entry, body.signature, agreed, entered_at=since, at=deps.clock.now()
        )
    return answer(_view(made, cooling), 201)


@routes.post(
    "/v1/address-book/{entry_id}/remove",
    access=TREASURY,
    command="address-book remove",
    answer=AddressView,
)
async def remove(entry_id: str, body: PersonSignature, who: Who, deps: UseDeps) -> Response:
    """Take an entry out, at once, with one person's signature."""
    (by,) = signatures([body])
    try:
        id_ = parse_id("address", entry_id, "entry_id")
    except InvalidInput:
        raise NotFound("entry", entry_id, "entry_id") from None
    async with deps.db.read() as s:
        await addressbook.get(s, who.tenant_id, id_)
        cooling = (await policies.current(s, who.tenant_id)).cooling_s
    await deps.signer.remove_address(format_id("tenant", who.tenant_id), entry_id, by)
    async with deps.db.write() as s:
        gone = await addressbook.remove(s, who.tenant_id, id_, by, at=deps.clock.now())
    return answer(_view(gone, cooling))

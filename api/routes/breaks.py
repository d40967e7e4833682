"""Breaks of reconciliation: the worklist, what people say of each, and closing a breaker."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import Approved, approvals
from api.routing import Routes
from api.writes import MoneyWrite
from custody.assurance import breakers, breaks
from custody.assurance.breaks import Break, State
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import BreakerId, BreakId, format_id, parse_id
from custody.policy import breakers as stops
from custody.policy import two_people
from custody.policy.breakers import Breaker

routes = Routes("breaks")

StateName = Literal["open", "assigned", "explained", "corrected", "closed"]


class NoteView(Shape):
    by: str = Field(description="a person, a token without one, or `reconciliation`")
    note: str
    old_state: str
    new_state: str
    at: str


class BreakView(Shape):
    id: str
    chain_id: int
    account: str
    asset: str
    place: str
    state: str
    assignee: str | None
    stops: bool = Field(description="whether the asset is stopped by it")
    looks: int = Field(description="blocks at which it did not agree; from two on it is believed")
    block_number: int = Field(description="the last of them")
    ledger: str
    there: str
    difference: str = Field(description="what is there beyond what the ledger says")
    beyond: str = Field(description="what of the difference people have not accepted")
    moved: bool = Field(
        description="others swept it to the treasury: it is booked, and nobody closes it before"
    )
    accepted: bool = Field(description="closed as explained, and the difference is still there")
    breaker: str | None
    reconciliation: str = Field(description="the report that found it")
    found_at: str
    closed_at: str | None
    notes: list[NoteView] | None = Field(description="null in lists")


class BreakPage(Shape):
    items: list[BreakView]
    next: str | None


class BreakerView(Shape):
    id: str
    asset: str
    state: str = Field(description="suspected goes by itself; open is closed by two people")
    reconciliation: str | None = Field(description="null: stopped since no report came")
    suspected_at: str
    opened_at: str | None
    ended_at: str | None


class BreakerPage(Shape):
    items: list[BreakerView]
    next: str | None


class ReviewView(Shape):
    document: dict[str, Any] = Field(description="the breaker with its breaks, as they are now")
    digest: str = Field(description="of the document: what `moorage people sign-breaker` signs")
    breaks: list[dict[str, Any]] = Field(
        description="all of them, however many; `breaks_hash` in the document is of this list"
    )


class Word(Shape):
    note: str = Field(min_length=1, max_length=500, description="the log has a commitment to it")
    state: Literal["assigned", "explained", "closed"] | None = Field(
        default=None,
        description="from now on; none: a note alone. `closed` where it stops nothing",
    )


class Agreed(Shape):
    """Two persons of treasury, each over the digest that `breakers review` prints."""

    approvals: list[Approved] = Field(min_length=1, max_length=10)


def _break_id(text: str) -> BreakId:
    try:
        return BreakId(parse_id("break", text, "break_id"))
    except InvalidInput:
        raise NotFound("break", text, "break_id") from None


def _breaker_id(text: str) -> BreakerId:
    try:
        return BreakerId(parse_id("breaker", text, "breaker_id"))
    except InvalidInput:
        raise NotFound("breaker", text, "breaker_id") from None


def _break(b: Break) -> dict[str, Any]:
    return {
        "id": format_id("break", b.id),
        "chain_id": b.chain_id,
        "account": b.account,
        "asset": b.asset_id,
        "place": b.place,
        "state": b.state.value,
        "assignee": b.assignee,
        "stops": b.stops,
        "looks": b.looks,
        "block_number": b.block_number,
        "ledger": str(b.ledger),
        "there": str(b.there),
        "difference": str(b.difference),
        "beyond": str(b.beyond),
        "moved": b.moved,
        "accepted": b.accepted,
        "breaker": None if b.breaker_id is None else format_id("breaker", b.breaker_id),
        "reconciliation": format_id("reconciliation", b.reconciliation_id),
        "found_at": iso_us(b.found_at),
        "closed_at": None if b.closed_at is None else iso_us(b.closed_at),
        "notes": None,
    }


async def _whole(s: ReadSession, b: Break) -> dict[str, Any]:
    said = await breaks.notes(s, b.id)
    told = [
        {
            "by": n.by,
            "note": n.note,
            "old_state": n.old_state,
            "new_state": n.new_state,
            "at": iso_us(n.at),
        }
        for n in said
    ]
    return {**_break(b), "notes": told}


def _breaker(b: Breaker) -> dict[str, Any]:
    return {
        "id": format_id("breaker", b.id),
        "asset": b.asset_id,
        "state": b.state.value,
        "reconciliation": None
        if b.reconciliation_id is None
        else format_id("reconciliation", b.reconciliation_id),
        "suspected_at": iso_us(b.suspected_at),
        "opened_at": None if b.opened_at is None else iso_us(b.opened_at),
        "ended_at": None if b.ended_at is None else iso_us(b.ended_at),
    }


@routes.get("/v1/breaks", access=STAFF, command="breaks list", answer=BreakPage)
async def listing(
    who: Who,
    deps: UseDeps,
    state: StateName | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """Newest first; with `state`, only those."""
    after, wanted = cursor_id("break", cursor), None if state is None else State(state)
    async with deps.db.read() as s:
        found = await breaks.listing(s, who.tenant_id, after, limit, wanted)
    return page([_break(b) for b in found], next_id("break", [b.id for b in found], limit))


@routes.get("/v1/breaks/{break_id}", access=STAFF, command="breaks show", answer=BreakView)
async def show(break_id: str, who: Who, deps: UseDeps) -> Response:
    """One with its notes, oldest first."""
    async with deps.db.read() as s:
        return answer(await _whole(s, await breaks.get(s, who.tenant_id, _break_id(break_id))))


@routes.post(
    "/v1/breaks/{break_id}/notes", access=TREASURY, command="breaks note", answer=BreakView
)
async def note(break_id: str, body: Word, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Say something of a break, and take it, explain it or close it with that.

    That one is corrected only reconciliation says. One that stops an asset is closed with its
    breaker, by two people.
    """
    by = who.idempotency_principal
    new = None if body.state is None else State(body.state)

    async def work(s: WriteSession) -> dict[str, Any]:
        id_, now = _break_id(break_id), deps.clock.now()
        found = await breaks.note(s, who.tenant_id, id_, body.note, new, by=by, at=now)
        return await _whole(s, found)

    return await write.run(work, 200)


@routes.get("/v1/breakers", access=STAFF, command="breakers list", answer=BreakerPage)
async def list_breakers(
    who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Newest first. While one is suspected or open, nothing of its asset goes out."""
    after = cursor_id("breaker", cursor)
    async with deps.db.read() as s:
        found = await stops.listing(s, who.tenant_id, after, limit)
    return page([_breaker(b) for b in found], next_id("breaker", [b.id for b in found], limit))


@routes.get(
    "/v1/breakers/{breaker_id}/review", access=STAFF, command="breakers review", answer=ReviewView
)
async def review(breaker_id: str, who: Who, deps: UseDeps) -> Response:
    """The document to sign to close it. It names each break as it is now: once one has changed,
    what was signed before counts for nothing."""
    async with deps.db.read() as s:
        known, found = await breakers.reviewed(s, who.tenant_id, _breaker_id(breaker_id))
    body = breakers.document(known, found)
    return answer(
        {"document": body, "digest": two_people.digest(body), "breaks": breakers.named(found)}
    )


@routes.post(
    "/v1/breakers/{breaker_id}/close",
    access=TREASURY,
    command="breakers close",
    answer=BreakerView,
)
async def close(
    breaker_id: str, body: Agreed, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Let the asset go again, by two people's signatures. Each break of it must be explained or
    corrected; an explained difference is accepted from then on, to the unit."""
    given = approvals(body.approvals)

    async def work(s: WriteSession) -> dict[str, Any]:
        id_, now = _breaker_id(breaker_id), deps.clock.now()
        return _breaker(await breakers.close(s, who.tenant_id, id_, given, at=now))

    return await write.run(work, 200)

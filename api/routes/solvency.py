"""Solvency: the published report, a holder's own proof, and what owners of a Safe sign for it.

Report and proof are canonical JSON, the very bytes that `verify.py` reads. Neither is given out
before the epoch is anchored.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.answers import JSON, Shape, answer
from api.auth.access import ANYONE, HOLDER, STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.streams import streamed
from api.writes import Writing
from custody.assurance.solvency import own, page, signatures
from custody.assurance.solvency.signatures import Wanted
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.serialization import loads

routes = Routes("solvency")
EPOCH_MAX = 2**53 - 1
Epoch = Annotated[
    int | None, Query(ge=1, le=EPOCH_MAX, description="the newest that is served, if not named")
]


class EpochView(Shape):
    epoch: int
    state: str
    chain_id: int = Field(description="of the challenge")
    block_number: int = Field(description="whose hash is the challenge")
    reason: str | None
    opened_at: str
    updated_at: str


class EpochList(Shape):
    items: list[EpochView]


class StatementView(Shape):
    """`safe_digest` is what an owner's wallet signs, as a SafeMessage over `digest`."""

    epoch: int
    chain_id: int
    address: str
    text: str
    digest: str
    safe_digest: str
    owners: list[str]
    threshold: int
    signed_by: list[str]


class StatementList(Shape):
    items: list[StatementView]


class NewStatementSignature(Shape):
    safe_digest: str = Field(pattern="^0x[0-9a-f]{64}$")
    signature: str = Field(max_length=132, description="65 bytes, hex")


def _statement(w: Wanted) -> dict[str, Any]:
    return {
        "epoch": w.epoch,
        "chain_id": w.chain_id,
        "address": w.address,
        "text": w.text,
        "digest": w.digest,
        "safe_digest": w.safe_digest,
        "owners": list(w.owners),
        "threshold": w.threshold,
        "signed_by": list(w.signed_by),
    }


@routes.get("/v1/solvency/epochs", access=STAFF, command="solvency epochs", answer=EpochList)
async def epochs(
    who: Who, deps: UseDeps, limit: Annotated[int, Query(ge=1, le=200)] = 20
) -> Response:
    """Newest first: how far each has come, and why one failed."""
    async with deps.db.read() as s:
        found = await s.all(
            "SELECT epoch, state, chain_id, block_number, reason, created_at, updated_at"
            " FROM solvency_epochs WHERE tenant_id = :tenant ORDER BY epoch DESC LIMIT :limit",
            {"tenant": who.tenant_id, "limit": limit},
        )
    items = [
        {
            "epoch": r.epoch,
            "state": r.state,
            "chain_id": r.chain_id,
            "block_number": r.block_number,
            "reason": r.reason,
            "opened_at": iso_us(r.created_at),
            "updated_at": iso_us(r.updated_at),
        }
        for r in found
    ]
    return answer({"items": items})


@routes.get("/v1/solvency/report", access=ANYONE, command="solvency report", answer=JSON)
async def report(who: Who, deps: UseDeps, epoch: Epoch = None) -> Response:
    """The file for `verify.py solvency`: report, log entries, anchor."""
    async with deps.db.snapshot() as s:
        row = await own.chosen(s, who.tenant_id, epoch)
        before, after = await own.report_around(s, row, deps.settings.audit_folder)
    whole = _whole(before, own.pieces(deps.db, row, "report"), after)
    return streamed(whole, len(before) + row.report_bytes + len(after), JSON)


async def _whole(before: bytes, inside: AsyncIterator[bytes], after: bytes) -> AsyncIterator[bytes]:
    yield before
    async for piece in inside:
        yield piece
    yield after


@routes.get("/v1/solvency/page", access=ANYONE, command="solvency page", answer="text/html")
async def shown(who: Who, deps: UseDeps, epoch: Epoch = None) -> Response:
    """The report as a page for people."""
    async with deps.db.snapshot() as s:
        row = await own.chosen(s, who.tenant_id, epoch)
        own.require_serving(row)
    headers = {"Content-Security-Policy": page.CONTENT_POLICY}
    if row.page_bytes is not None:
        inside = own.pieces(deps.db, row, "page")
        return streamed(inside, row.page_bytes, "text/html", headers)
    made = b"".join([piece async for piece in own.pieces(deps.db, row, "report")])
    return Response(page.page(loads(made)), media_type="text/html", headers=headers)


@routes.get("/v1/solvency/me", access=HOLDER, command="solvency me", answer=JSON)
async def mine(who: Who, deps: UseDeps, epoch: Epoch = None) -> Response:
    """The caller's own file for `verify.py me`: balances, salt and path. Nobody else's."""
    async with deps.db.snapshot() as s:
        row = await own.chosen(s, who.tenant_id, epoch)
        folder = deps.settings.audit_folder
        made = await own.own_proof(s, row, who.own_customer(), folder)
    return Response(canonical.encode(made), media_type=JSON)


@routes.get(
    "/v1/solvency/statements", access=STAFF, command="solvency statements", answer=StatementList
)
async def statements(who: Who, deps: UseDeps) -> Response:
    """What owners of Safes can sign now, for the epoch whose report is being made."""
    async with deps.db.read() as s:
        found = await signatures.wanted(s, who.tenant_id)
    return answer({"items": [_statement(w) for w in found]})


@routes.post(
    "/v1/solvency/statements", access=TREASURY, command="solvency sign", answer=StatementView
)
async def sign(body: NewStatementSignature, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Hand in one owner's signature."""
    try:
        raw = bytes.fromhex(body.signature.removeprefix("0x"))
    except ValueError:
        raise InvalidInput("signature", "must be hex") from None
    at = deps.clock.now()
    return answer(_statement(await signatures.add(s, who.tenant_id, body.safe_digest, raw, at=at)))

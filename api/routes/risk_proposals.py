"""Loosenings of a pool's risk policy that wait for a second person and their delay."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, optional_id, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import Approved, approvals
from api.routes.pools import pool_id_of
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import RiskProposalId, format_id, parse_id
from router import books, proposals
from router.proposals import Proposal

routes = Routes("risk-proposals")


class RiskProposalView(Shape):
    """`hash` is what a second person signs with `moorage people sign-risk`."""

    id: str
    pool: str
    version: int
    hash: str
    document: dict[str, Any]
    loosens: list[str]
    state: str
    proposed_by: str
    approved_by: str | None
    due_at: str | None
    reason: str | None
    created_at: str


class RiskProposalPage(Shape):
    items: list[RiskProposalView]
    next: str | None


class RiskVeto(Shape):
    reason: str = Field(min_length=1, max_length=300, description="for the log")


def _view(p: Proposal) -> dict[str, Any]:
    return {
        "id": format_id("risk_proposal", p.id),
        "pool": format_id("pool", p.pool_id),
        "version": p.version,
        "hash": p.hash,
        "document": p.document,
        "loosens": p.loosens,
        "state": p.state,
        "proposed_by": format_id("person", p.proposed_by),
        "approved_by": optional_id("person", p.approved_by),
        "due_at": None if p.due_at is None else iso_us(p.due_at),
        "reason": p.reason,
        "created_at": iso_us(p.created_at),
    }


def _id(text: str) -> RiskProposalId:
    try:
        return RiskProposalId(parse_id("risk_proposal", text, "risk_proposal_id"))
    except InvalidInput:
        raise NotFound("risk proposal", text, "risk_proposal_id") from None


@routes.get(
    "/v1/pools/{pool_id}/risk-proposals",
    access=STAFF,
    command="risk-proposals list",
    answer=RiskProposalPage,
)
async def listing(
    pool_id: str, who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """What was proposed to loosen, newest first, and what became of it."""
    async with deps.db.read() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        after = cursor_id("risk_proposal", cursor)
        found = await proposals.listing(s, who.tenant_id, item.id, after, limit)
    return page([_view(p) for p in found], next_id("risk_proposal", [p.id for p in found], limit))


@routes.get(
    "/v1/risk-proposals/{risk_proposal_id}",
    access=STAFF,
    command="risk-proposals show",
    answer=RiskProposalView,
)
async def show(risk_proposal_id: str, who: Who, deps: UseDeps) -> Response:
    """One proposal, with the document that would be in force."""
    async with deps.db.read() as s:
        return answer(_view(await proposals.get(s, who.tenant_id, _id(risk_proposal_id))))


@routes.post(
    "/v1/risk-proposals/{risk_proposal_id}/approve",
    access=TREASURY,
    command="risk-proposals approve",
    answer=RiskProposalView,
)
async def approve(
    risk_proposal_id: str, body: Approved, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Agree as a second person, by signature. It comes into force after the current delay."""
    given = approvals([body])[0]

    async def work(s: WriteSession) -> dict[str, Any]:
        now = deps.clock.now()
        id_ = _id(risk_proposal_id)
        return _view(await proposals.approve(s, who.tenant_id, id_, given, at=now))

    return await write.run(work, 200)


@routes.post(
    "/v1/risk-proposals/{risk_proposal_id}/veto",
    access=TREASURY,
    command="risk-proposals veto",
    answer=RiskProposalView,
)
async def veto(
    risk_proposal_id: str, body: RiskVeto, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Stop it for ever. One person is enough, at any time before it is in force."""

    async def work(s: WriteSession) -> dict[str, Any]:
        found = await proposals.veto(
            *(s, who.tenant_id, _id(risk_proposal_id)),
            by=who.idempotency_principal, reason=body.reason, at=deps.clock.now(),
        )  # fmt: skip
        return _view(found)

    return await write.run(work, 200)

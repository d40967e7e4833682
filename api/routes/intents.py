"""Operations: what is to happen on chain, how far it is, and people's approvals of it."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page, parse_time
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import IntentId, format_id, parse_id
from custody.core.intents import HELD_BACK, Approval
from custody.policy import approvals, decisions
from custody.settlement import cancel, intents, simulate
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState

routes = Routes("operations")


class IntentView(Shape):
    """`body` is what `digest` is over; `decision` what policy said and on which approvals."""

    id: str
    kind: str
    state: str
    digest: str
    body: dict[str, Any]
    decision: dict[str, Any] | None
    simulations: list[dict[str, Any]] | None = Field(
        description="what it was seen to do, before approval and before signing; not in lists"
    )
    sender: str
    nonce: int | None
    tx_hash: str | None
    broadcasts: int
    block_number: int | None
    block_hash: str | None
    gas_used: int | None
    fee_wei: str | None
    reason: str | None
    cancel_reason: str | None = Field(description="set once its nonce is meant for a cancel")
    created_at: str
    updated_at: str


class IntentPage(Shape):
    items: list[IntentView]
    next: str | None


class NewApproval(Shape):
    """Made by `moorage sign-approval` with a key that never enters the service."""

    intent: str
    digest: str = Field(max_length=80, description="of the intent as the person saw it")
    person: str
    expires_at: str = Field(max_length=40)
    signature: str = Field(max_length=128)


class Cancel(Shape):
    reason: str = Field(min_length=1, max_length=cancel.REASON_MAX)


class ApprovalView(Shape):
    id: str
    intent: str
    digest: str
    person: str
    expires_at: str
    state: str = Field(description="of the intent, now that this approval counts")


class ApprovalItem(Shape):
    person: str
    role: str
    intent: str
    expires_at: str
    signature: str


class ApprovalPage(Shape):
    items: list[ApprovalItem]
    next: str | None


def _view(row: IntentRow, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "id": format_id("intent", row.intent.id),
        "kind": row.intent.kind.value,
        "state": row.state.value,
        "digest": row.digest,
        "body": row.intent.to_json(),
        "decision": row.decision,
        "simulations": seen,
        "sender": row.intent.sender,
        "nonce": row.nonce,
        "tx_hash": row.tx_hash,
        "broadcasts": row.broadcasts,
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "gas_used": row.gas_used,
        "fee_wei": None if row.fee_paid is None else str(row.fee_paid),
        "reason": row.reason,
        "cancel_reason": row.cancel_reason,
        "created_at": iso_us(row.created_at),
        "updated_at": iso_us(row.updated_at),
    }


@routes.get("/v1/intents", access=STAFF, command="intents list", answer=IntentPage)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Everything that was, is or may be on its way to a chain; newest first."""
    async with deps.db.read() as s:
        found = await intents.listing(s, who.tenant_id, cursor_id("intent", cursor), limit)
    return page([_view(r) for r in found], next_id("intent", [r.intent.id for r in found], limit))


def _id(text: str, field: str) -> IntentId:
    return IntentId(parse_id("intent", text, field))


@routes.get("/v1/intents/{intent_id}", access=STAFF, command="intents show", answer=IntentView)
async def show(intent_id: str, who: Who, deps: UseDeps) -> Response:
    """One operation: the body to check, the digest to approve, the state it is in."""
    async with deps.db.read() as s:
        row = await intents.get(s, who.tenant_id, _id(intent_id, "intent_id"))
        return answer(_view(row, await simulate.seen(s, row.intent.id)))


def _approval(body: NewApproval) -> Approval:
    return Approval(
        person_id=parse_id("person", body.person, "person"),
        intent_digest=body.digest,
        expires_at=parse_time(body.expires_at, "expires_at"),
        signature=body.signature,
    )


@routes.post(
    "/v1/intents/{intent_id}/cancel",
    access=TREASURY,
    command="intents cancel",
    answer=IntentView,
)
async def give_up(
    intent_id: str, body: Cancel, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Use its nonce up for nothing. If the payment is mined first, it was paid all the same."""
    id_ = _id(intent_id, "intent_id")

    async def work(s: WriteSession) -> dict[str, Any]:
        row = await intents.get(s, who.tenant_id, id_, lock=True)
        await cancel.by_person(s, row, body.reason, at=deps.clock.now())
        return _view(await intents.get(s, who.tenant_id, id_))

    return await write.run(work, 200)


@routes.post(
    "/v1/approvals",
    access=TREASURY,
    command="approvals create",
    answer=ApprovalView,
    status=201,
)
async def approve(body: NewApproval, who: Who, deps: UseDeps, write: MoneyWrite) -> Response:
    """Hand in a person's signature. Who hands it in does not matter: the signature does."""
    approval, id_ = _approval(body), _id(body.intent, "intent")

    async def work(s: WriteSession) -> dict[str, Any]:
        now = deps.clock.now()
        row = await intents.get(s, who.tenant_id, id_, lock=True)
        if row.digest != body.digest:
            raise Conflict("the intent has another digest", field="digest", rule="must match")
        if row.state is not IntentState.AWAITING_APPROVAL:
            raise Conflict(f"an intent in state {row.state.value} awaits no approval")
        verdict = await decisions.verdict_for(s, row.intent)
        done = await approvals.record(
            s,
            who.tenant_id,
            approval,
            at=now,
            initiator=row.intent.person_id,
            roles=verdict.roles,
        )
        # A payout stays with what asked for it, which sees to liquidity before it is released.
        hold_back = row.intent.kind in HELD_BACK
        state = await intents.reconsider(s, who.tenant_id, id_, at=now, hold_back=hold_back)
        return {
            "id": format_id("approval", done),
            "intent": body.intent,
            "digest": body.digest,
            "person": body.person,
            "expires_at": iso_us(approval.expires_at),
            "state": state.value,
        }

    return await write.run(work)


@routes.get(
    "/v1/intents/{intent_id}/approvals",
    access=STAFF,
    command="approvals list",
    answer=ApprovalPage,
)
async def list_approvals(intent_id: str, who: Who, deps: UseDeps) -> Response:
    """The approvals of an operation that count now."""
    async with deps.db.read() as s:
        row = await intents.get(s, who.tenant_id, _id(intent_id, "intent_id"))
        found = await approvals.valid_for(s, who.tenant_id, row.digest, now=deps.clock.now())
    items = [
        {
            "person": format_id("person", a.person_id),
            "role": role,
            "intent": intent_id,
            "expires_at": iso_us(a.expires_at),
            "signature": a.signature,
        }
        for a, role in found
    ]
    return page(items, None)

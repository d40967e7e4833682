"""Intents: created with their decision in the caller's transaction (commit 1 of three)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, NotFound, Refused
from custody.core.ids import IntentId, TenantId, format_id
from custody.core.intents import Decision, Intent, Outcome
from custody.core.ports import SignedTransaction
from custody.core.serialization import dumps_text
from custody.policy import decisions
from custody.settlement.states import REBINDABLE, IntentState, move


@dataclass(frozen=True, slots=True)
class IntentRow:
    """An intent and how far it has come. Fees in wei; block fields once mined.

    `raw` and `tx_hash` are the newest version's until one is mined, and then that one's.
    `underpriced_at` is since when the chain asks for more than it pays; `cancel_reason` is set
    once its nonce is to be used up by a cancel.
    """

    intent: Intent
    state: IntentState
    digest: str
    nonce: int | None
    decision: dict[str, Any] | None
    raw: str | None
    tx_hash: str | None
    broadcasts: int
    block_number: int | None
    block_hash: str | None
    gas_used: int | None
    fee_paid: int | None
    reason: str | None
    underpriced_at: datetime | None
    cancel_reason: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = (
    "body, state, digest, nonce, decision, raw, tx_hash, broadcasts, block_number, block_hash,"
    " gas_used, fee_paid, reason, underpriced_at, cancel_reason, created_at, updated_at"
)


def _row(row: Any) -> IntentRow:
    fee = None if row.fee_paid is None else int(row.fee_paid)
    return IntentRow(
        Intent.from_json(row.body),
        IntentState(row.state),
        row.digest,
        row.nonce,
        row.decision,
        row.raw,
        row.tx_hash,
        row.broadcasts,
        row.block_number,
        row.block_hash,
        row.gas_used,
        fee,
        row.reason,
        row.underpriced_at,
        row.cancel_reason,
        row.created_at,
        row.updated_at,
    )


def _state_for(decision: Decision, *, hold_back: bool) -> IntentState:
    if decision.outcome is Outcome.NEEDS_APPROVAL:
        return IntentState.AWAITING_APPROVAL
    return IntentState.APPROVED if hold_back else IntentState.QUEUED


async def create(
    s: WriteSession, intent: Intent, *, at: datetime, hold_back: bool = False
) -> Decision:
    """Store the intent with its decision. Same id and content again: the first answer stands.

    `hold_back` keeps an allowed intent in `approved` until its owner releases it. Raises Refused
    where policy says no: nothing is stored.
    """
    known = await s.first(
        "SELECT digest, decision FROM intents WHERE id = :id AND tenant_id = :tenant",
        {"id": intent.id, "tenant": intent.tenant_id},
    )
    if known is not None:
        if known.digest != intent.digest():
            raise Broken(f"intent {intent.id} exists with other content")
        return decisions.from_json(known.decision)
    decision = await decisions.decide(s, intent, now=at)
    if decision.outcome is Outcome.REFUSE:
        raise Refused("intent", decision.rule, f"policy refuses: {decision.rule}")
    state = _state_for(decision, hold_back=hold_back)
    await _insert(s, intent, state, dumps_text(decision.to_json()), at)
    return decision


async def _insert(
    s: WriteSession, intent: Intent, state: IntentState, decision: str | None, at: datetime
) -> None:
    """The row and its entry in the log. `decision` is a record as JSON, None if it is not known."""
    await s.execute(
        "INSERT INTO intents (id, tenant_id, chain_id, kind, state, body, digest, sender,"
        " decision, reference, created_at) VALUES (:id, :tenant, :chain, :kind, :state,"
        " CAST(:body AS jsonb), :digest, :sender, CAST(:decision AS jsonb), :reference, :at)",
        {
            "id": intent.id,
            "tenant": intent.tenant_id,
            "chain": intent.chain_id,
            "kind": intent.kind.value,
            "state": state.value,
            "body": dumps_text(intent.to_json()),
            "digest": intent.digest(),
            "sender": intent.sender,
            "decision": decision,
            "reference": intent.reference,
            "at": at,
        },
    )
    await log.append(
        s,
        intent.tenant_id,
        "intent.created",
        {
            "intent": format_id("intent", intent.id),
            "digest": intent.digest(),
            "body": intent.to_json(),
            "reference": intent.reference,
        },
        at=at,
    )


async def reconsider(
    s: WriteSession, tenant_id: TenantId, intent_id: IntentId, *, at: datetime, hold_back: bool
) -> IntentState:
    """Decide again with today's policy and approvals; the state that follows from it.

    Used after an approval and again just before a nonce is bound: what was allowed an hour ago
    may have lost an approver since.
    """
    row = await get(s, tenant_id, intent_id, lock=True)
    if row.state not in (
        IntentState.AWAITING_APPROVAL,
        IntentState.APPROVED,
        IntentState.QUEUED,
    ):
        return row.state
    decision = await decisions.decide(s, row.intent, now=at)
    if decision.outcome is Outcome.REFUSE:
        new = IntentState.REFUSED
    else:
        new = _state_for(decision, hold_back=hold_back)
    body = dumps_text(decision.to_json())
    if new is row.state or (row.state is IntentState.QUEUED and new is IntentState.APPROVED):
        await s.execute(
            "UPDATE intents SET decision = CAST(:decision AS jsonb) WHERE id = :id",
            {"decision": body, "id": intent_id},
        )
        return row.state
    reason = decision.rule if new is IntentState.REFUSED else None
    await move(s, intent_id, row.state, new, reason=reason)
    await s.execute(
        "UPDATE intents SET decision = CAST(:decision AS jsonb) WHERE id = :id",
        {"decision": body, "id": intent_id},
    )
    return new


async def log_failed(s: WriteSession, intent: Intent, reason: str, *, at: datetime) -> None:
    """The entry of an intent that ended without bytes that left."""
    data = {
        "intent": format_id("intent", intent.id),
        "chain_id": str(intent.chain_id),
        "reason": reason[:500],
    }
    await log.append(s, intent.tenant_id, "transfer.failed", data, at=at)


async def release(s: WriteSession, intent_id: IntentId) -> bool:
    """Let an approved intent that was held back go to signing."""
    return await move(s, intent_id, IntentState.APPROVED, IntentState.QUEUED)


async def take_back(s: WriteSession, intent_id: IntentId) -> bool:
    """Undo `release` while no nonce is bound; False if one is."""
    return await move(s, intent_id, IntentState.QUEUED, IntentState.APPROVED)


async def cancel(s: WriteSession, intent_id: IntentId, state: IntentState, reason: str) -> bool:
    """Cancel an intent that has no nonce yet."""
    return await move(s, intent_id, state, IntentState.CANCELLED, reason=reason)


async def set_underpriced(s: WriteSession, row: IntentRow, at: datetime | None) -> None:
    """Note since when a waiting intent pays less than the chain asks for; None once it does not."""
    await s.execute(
        "UPDATE intents SET underpriced_at = :at WHERE id = :id AND state = :state",
        {"at": at, "id": row.intent.id, "state": row.state.value},
    )


async def put_newest(s: WriteSession, row: IntentRow, signed: SignedTransaction) -> None:
    """Send these bytes from now on; a new version gets its own time to be mined."""
    columns = {"raw": signed.raw, "tx_hash": signed.tx_hash, "underpriced_at": None}
    if row.state is IntentState.BOUND:
        await move(s, row.intent.id, row.state, IntentState.SIGNED, **columns)
        return
    await s.execute(
        "UPDATE intents SET raw = :raw, tx_hash = :tx_hash, underpriced_at = :underpriced_at"
        " WHERE id = :id AND state = :state",
        {**columns, "id": row.intent.id, "state": row.state.value},
    )


async def restore(
    s: WriteSession, intent: Intent, decision: dict[str, Any] | None, *, at: datetime
) -> None:
    """A row for an intent that was decided before, when this database did not know it.

    It is `bound`; its nonce and bytes follow in the same commit.
    """
    state = IntentState.BOUND
    await _insert(s, intent, state, None if decision is None else dumps_text(decision), at)


async def rebind(s: WriteSession, intent_id: IntentId, nonce: int, raw: str, tx_hash: str) -> bool:
    """Take over a nonce with bytes that may have left long ago: `unknown`, so receipts decide."""
    result = await s.execute(
        "UPDATE intents SET state = 'unknown', nonce = :nonce, raw = :raw, tx_hash = :tx"
        " WHERE id = :id AND state = ANY(:states)",
        {
            "nonce": nonce,
            "raw": raw,
            "tx": tx_hash,
            "id": intent_id,
            "states": [state.value for state in REBINDABLE],
        },
    )
    return result.rowcount == 1


async def of_sender(s: ReadSession, chain_id: int, sender: str) -> list[IntentRow]:
    """All that has a nonce, in the order of nonces."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM intents WHERE chain_id = :chain AND sender = :sender"
        " AND nonce IS NOT NULL ORDER BY nonce",
        {"chain": chain_id, "sender": sender},
    )
    return [_row(row) for row in rows]


async def get(
    s: ReadSession, tenant_id: TenantId, intent_id: IntentId, *, lock: bool = False
) -> IntentRow:
    suffix = " FOR UPDATE" if lock else ""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM intents WHERE id = :id AND tenant_id = :tenant{suffix}",
        {"id": intent_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("intent", format_id("intent", intent_id))
    return _row(row)


async def in_states(
    s: ReadSession, states: list[IntentState], limit: int = 2_000
) -> list[IntentRow]:
    """Oldest first, over all tenants: what a job has to advance."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM intents WHERE state = ANY(:states)"
        " ORDER BY created_at, id LIMIT :limit",
        {"states": [state.value for state in states], "limit": limit},
    )
    return [_row(row) for row in rows]


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> list[IntentRow]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM intents WHERE tenant_id = :tenant"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [_row(row) for row in rows]


RETRY_AFTER_S = 60


async def is_under_way(s: ReadSession, tenant_id: TenantId, kind: str, reference: str) -> bool:
    """Whether an intent of this kind for this reference is on its way, or has just failed.

    The pause after a failure keeps a job from making the same doomed intent at every step.
    """
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM intents WHERE tenant_id = :tenant AND kind = :kind"
            " AND reference = :reference"
            " AND (state NOT IN ('final', 'failed', 'refused', 'cancelled') OR state <> 'final'"
            " AND updated_at > now() - make_interval(secs => :pause)))",
            {
                "tenant": tenant_id,
                "kind": kind,
                "reference": reference,
                "pause": RETRY_AFTER_S,
            },
        )
    )

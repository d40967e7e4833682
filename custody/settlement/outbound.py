"""Intent -> bound -> signed -> sent. Three commits before a broadcast, and each step can die.

Per sender one intent at a time is between `queued` and `signed`, so a refusal by the signer nearly
always concerns the newest nonce and can be undone without leaving a gap. Where two workers raced
and a later nonce was bound, the gap is filled by a cancel.
"""

import logging
from datetime import datetime, timedelta

from chains.errors import (
    AlreadyKnown,
    AmbiguousBroadcast,
    BroadcastRejected,
    ChainError,
    NonceTooLow,
)
from custody.audit import log
from custody.core.db import WriteSession
from custody.core.ids import format_id
from custody.core.intents import HELD_BACK, Intent
from custody.core.isolation import each
from custody.core.ports import Fees, SignedTransaction, SignerRefused, SignerUnavailable
from custody.policy import breakers, decisions, freezes
from custody.settlement import cancel, intents, nonces, pricing, simulate, standstill, versions
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState, move
from custody.settlement.versions import Purpose

logger = logging.getLogger(__name__)

APPROVAL_WAIT = timedelta(hours=24)
BOUND_ELSEWHERE = frozenset({"nonce_taken", "other_nonce", "intent_changed", "cancelled"})
"""Refusals by which the signer says that it has signed something with this nonce or intent."""
DECIDE_AGAIN = frozenset({"decision_policy", "decision_book", "held_back"})
"""The policy or the address book is another since the decision, or a freeze came between."""
HELD_WITH_BYTES = "held_with_bytes"


async def step(deps: SettlementDeps) -> int:
    """Advance everything that waits to be bound, signed or sent; how many rows moved."""
    moved = await _ask_policy_again(deps)
    async with deps.db.read() as s:
        stopped = await standstill.stops(s)
        found = await intents.in_states(s, [IntentState.QUEUED, IntentState.BOUND])
        frozen = await freezes.in_force(s)
        broken = await breakers.in_force(s)
    # What is frozen or stopped gets no nonce, which others would then wait behind.
    waiting = [
        row
        for row in found
        if row.intent.chain_id not in stopped
        and not (
            row.state is IntentState.QUEUED
            and (freezes.holds(frozen, row.intent) or breakers.holds(broken, row.intent))
        )
    ]
    jammed: set[tuple[int, str]] = {
        (row.intent.chain_id, row.intent.sender)
        for row in waiting
        if row.state is IntentState.BOUND
    }
    for row in sorted(waiting, key=lambda r: r.state is not IntentState.BOUND):
        key = (row.intent.chain_id, row.intent.sender)
        if row.cancel_reason is not None or (row.state is IntentState.QUEUED and key in jammed):
            continue
        try:
            signed = await _bind_and_sign(deps, row)
        except Exception:
            logger.exception("intent stays", extra={"intent": row.intent.id})
            signed = False
        moved += signed
        jammed.discard(key) if signed else jammed.add(key)
    async with deps.db.read() as s:
        ready = await intents.in_states(s, [IntentState.SIGNED])
    return moved + await each(logger, "broadcast", ready, lambda row: broadcast(deps, row))


async def _ask_policy_again(deps: SettlementDeps) -> int:
    """Intents that wait for people: policy may let them pass by now, or they have waited enough.

    Payouts are their owners' own to decide: they hold money and may be held back.
    """
    async with deps.db.read() as s:
        waiting = await intents.in_states(s, [IntentState.AWAITING_APPROVAL])

    async def look(row: IntentRow) -> bool:
        intent, now = row.intent, deps.clock.now()
        async with deps.db.write() as s:
            if now - row.created_at > APPROVAL_WAIT:
                reason = "not approved in time"
                state = IntentState.AWAITING_APPROVAL
                if not await move(s, intent.id, state, IntentState.REFUSED, reason=reason):
                    return False
                await deps.effects.of(intent.kind).on_failed(s, intent, reason, None)
                await _log_failed(s, deps, intent, reason)
                return True
            state = await intents.reconsider(
                s, intent.tenant_id, intent.id, at=now, hold_back=False
            )
            if state is IntentState.REFUSED:
                reason = "refused by policy"
                await deps.effects.of(intent.kind).on_failed(s, intent, reason, None)
            return state is not row.state

    own = [row for row in waiting if row.intent.kind not in HELD_BACK]
    return await each(logger, "intent", own, look)


async def _bind_and_sign(deps: SettlementDeps, row: IntentRow) -> bool:
    """Commit 2, the signer, commit 3. True if the address is free for the next intent."""
    nonce = row.nonce
    if row.state is IntentState.QUEUED:
        if not await _has_room(deps, row.intent) or not await _affordable(deps, row.intent):
            return False
        try:
            if not await simulate.still_does(deps, row):
                return True  # this one stays or is refused; the address is free for others
        except ChainError as error:
            logger.warning("not simulated", extra={"intent": row.intent.id, "error": error})
            return False
        async with deps.db.write() as s:
            nonce = await _bind(s, deps, row)
        if nonce is None:
            return True
        async with deps.db.read() as s:
            row = await intents.get(s, row.intent.tenant_id, row.intent.id)
    if nonce is None or row.decision is None:
        return False
    try:
        fees = await _fees(deps, row.intent)
        decision = decisions.from_json(row.decision)
        signed = await deps.signer.sign(row.intent, decision, nonce, fees)
    except SignerRefused as refusal:
        await _refused(deps, row, nonce, refusal)
        return True
    except (SignerUnavailable, ChainError) as error:
        logger.warning("not signed yet", extra={"intent": row.intent.id, "error": error})
        return False
    async with deps.db.write() as s:
        await _store(s, deps, row.intent, nonce, signed)
    return True


async def _bind(s: WriteSession, deps: SettlementDeps, row: IntentRow) -> int | None:
    """Decide once more on today's policy and approvals, then bind."""
    intent, now = row.intent, deps.clock.now()
    fresh = await intents.get(s, intent.tenant_id, intent.id, lock=True)
    if fresh.state is not IntentState.QUEUED:
        return None  # its owner took it back, or it waits for people: deciding would queue it again
    if breakers.holds(await breakers.in_force(s), intent):
        return None  # set since the look above: this is the last one
    state = await intents.reconsider(s, intent.tenant_id, intent.id, at=now, hold_back=False)
    if state is IntentState.REFUSED:
        await deps.effects.of(intent.kind).on_failed(s, intent, "refused by policy", None)
    if state is not IntentState.QUEUED:
        return None
    key = (intent.chain_id, intent.sender)
    return await nonces.bind(s, intent.tenant_id, intent.id, *key, deps.rules.pending_max)


async def _has_room(deps: SettlementDeps, intent: Intent) -> bool:
    async with deps.db.read() as s:
        waiting = await nonces.pending(s, intent.chain_id, intent.sender)
    return waiting < deps.rules.pending_max


async def _affordable(deps: SettlementDeps, intent: Intent) -> bool:
    """Whether today's base fee is within the bound: a nonce bound above it would jam the sender."""
    try:
        base = await deps.clients[intent.chain_id].base_fee()
    except ChainError as error:
        logger.warning("chain did not answer", extra={"intent": intent.id, "error": error})
        return False
    if base <= deps.rules.fee_bound(intent, intent.gas_limit):
        return True
    logger.warning("base fee over the bound", extra={"intent": intent.id, "base_fee": base})
    return False


async def _fees(deps: SettlementDeps, intent: Intent) -> Fees:
    """Today's fees within the intent's bound. Raises ChainError without a quote."""
    quote = await deps.clients[intent.chain_id].fees()
    today = Fees(quote.max_fee_per_gas, quote.max_priority_fee_per_gas)
    return pricing.first(intent, today, deps.rules.fee_bound(intent, intent.gas_limit))


async def _refused(
    deps: SettlementDeps, row: IntentRow, nonce: int, refusal: SignerRefused
) -> None:
    intent, reason = row.intent, f"signer: {refusal.rule}: {refusal.detail}"
    logger.error("signer refused", extra={"intent": intent.id, "rule": refusal.rule})
    if refusal.rule in BOUND_ELSEWHERE:
        return  # the signer knows this nonce or intent better than we do: a person must look
    async with deps.db.write() as s:
        if refusal.rule == HELD_WITH_BYTES:
            # Frozen, but the signer has bytes at this nonce: only a cancel frees the address.
            await cancel.decide(s, row, reason, at=deps.clock.now())
            return
        if not await nonces.hand_back(s, intent.chain_id, intent.sender, nonce):
            await cancel.decide(s, row, reason, at=deps.clock.now())
            return  # later nonces wait behind this one
        if refusal.rule in DECIDE_AGAIN:
            await move(s, intent.id, IntentState.BOUND, IntentState.QUEUED, nonce=None)
            return
        moved = await move(
            s, intent.id, IntentState.BOUND, IntentState.REFUSED, nonce=None, reason=reason
        )
        if moved:
            await deps.effects.of(intent.kind).on_failed(s, intent, reason, None)
            await _log_failed(s, deps, intent, reason)


async def _log_failed(s: WriteSession, deps: SettlementDeps, intent: Intent, reason: str) -> None:
    await intents.log_failed(s, intent, reason, at=deps.clock.now())


async def _store(
    s: WriteSession, deps: SettlementDeps, intent: Intent, nonce: int, signed: SignedTransaction
) -> None:
    """Commit 3: the bytes are ours before anybody outside can have them."""
    now = deps.clock.now()
    if await move(
        s,
        intent.id,
        IntentState.BOUND,
        IntentState.SIGNED,
        raw=signed.raw,
        tx_hash=signed.tx_hash,
    ):
        await versions.store(s, intent, nonce, signed, Purpose.PAY, at=now)
        await log_signed(s, intent, nonce, signed, at=now)


async def log_signed(
    s: WriteSession, intent: Intent, nonce: int, signed: SignedTransaction, *, at: datetime
) -> None:
    """One entry a version: all bytes that exist are told to the log before they can leave."""
    await log.append(
        s,
        intent.tenant_id,
        "transfer.signed",
        {
            "intent": format_id("intent", intent.id),
            "digest": intent.digest(),
            "chain_id": str(intent.chain_id),
            "sender": intent.sender,
            "nonce": str(nonce),
            "tx_hash": signed.tx_hash,
        },
        at=at,
    )


async def broadcast(deps: SettlementDeps, row: IntentRow) -> bool:
    """Send the stored bytes, first time or again: whatever a node says, always the same ones."""
    if row.raw is None or (row.cancel_reason is not None and not versions.is_cancel(row.raw)):
        return False  # given up: the payment's bytes are not sent once more
    new = IntentState.SENT
    try:
        await deps.clients[row.intent.chain_id].send_raw(row.raw)
    except AlreadyKnown:
        pass
    except NonceTooLow:
        new = IntentState.UNKNOWN  # most likely mined already: the receipt decides
    except (AmbiguousBroadcast, BroadcastRejected, ChainError) as error:
        logger.warning("broadcast unclear", extra={"intent": row.intent.id, "error": error})
        new = IntentState.UNKNOWN
    async with deps.db.write() as s:
        if new is row.state:
            await s.execute(
                "UPDATE intents SET broadcasts = broadcasts + 1 WHERE id = :id AND state = :state",
                {"id": row.intent.id, "state": row.state.value},
            )
            return False
        moved = await move(s, row.intent.id, row.state, new, broadcasts=row.broadcasts + 1)
        if moved and new is IntentState.SENT:
            await log.append(
                s,
                row.intent.tenant_id,
                "transfer.sent",
                {
                    "intent": format_id("intent", row.intent.id),
                    "chain_id": str(row.intent.chain_id),
                    "tx_hash": row.tx_hash,
                },
                at=deps.clock.now(),
            )
    return moved

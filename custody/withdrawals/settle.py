"""The withdrawal's job and its journals: looks for states to advance, can die anywhere."""

import logging
from collections.abc import Mapping
from typing import Any

from chains.types import Receipt
from custody.audit import log
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.isolation import each
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_hold, post_or_raise, void_hold
from custody.parties import places
from custody.settlement import intents, restored
from custody.settlement.restored import Resolution
from custody.settlement.states import IntentState
from custody.withdrawals import liquidity, owing, proposals, rows, schedule, screen, suspense
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.proposals import ProposalState
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import CANCELLABLE, State, move

logger = logging.getLogger(__name__)

_OPEN = [
    State.REQUESTED,
    State.SCREENED,
    State.APPROVED,
    State.SCHEDULED,
    State.AWAITING_LIQUIDITY,
    State.RELEASED,
    State.SIGNED,
    State.SENT,
    State.UNKNOWN,
    State.CONFIRMED,
]
_MIRROR = {
    IntentState.SIGNED: State.SIGNED,
    IntentState.SENT: State.SENT,
    IntentState.UNKNOWN: State.UNKNOWN,
    IntentState.MINED: State.CONFIRMED,
}


async def step(deps: WithdrawalDeps) -> int:
    """Advance every open withdrawal by at most one state; how many moved."""
    async with deps.db.read() as s:
        waiting = await rows.in_states(s, _OPEN, deps.clock.now())
    quotes = await schedule.market(deps, waiting)

    async def advance(w: Withdrawal) -> bool:
        async with deps.db.write() as s:
            fresh = await rows.get(s, w.tenant_id, w.id, lock=True)
            return await _advance(s, deps, fresh, quotes)

    return await each(logger, "withdrawal", waiting, advance)


async def _advance(
    s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, quotes: Mapping[int, int]
) -> bool:
    if w.state in CANCELLABLE and await _is_being_paid(s, w):
        return await liquidity.catch_up(s, deps, w)
    late = schedule.expired(w, deps.clock.now())
    if late is not None:
        return await let_go(s, deps.clock, w, State.EXPIRED, late)
    if w.state is State.REQUESTED:
        return await _screen(s, deps, w)
    if w.state is State.SCREENED:
        return await _decide(s, deps, w)
    if w.state in (State.APPROVED, State.SCHEDULED, State.AWAITING_LIQUIDITY):
        return await _pay(s, deps, w, quotes)
    return await _mirror(s, deps, w, quotes)


async def _is_being_paid(s: WriteSession, w: Withdrawal) -> bool:
    """Whether bytes of its payment exist, though it was not released here: a restore lost that."""
    if w.payer == places.SAFE:
        return False  # its own intent is never sent; the execution is another one
    return (await intents.get(s, w.tenant_id, w.intent_id)).state in _MIRROR


async def _screen(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    verdict = await screen.check(s, w.destination)
    if verdict is screen.Verdict.NO_LIST:
        return False  # fails closed: the money stays, the state says where
    if verdict is screen.Verdict.LISTED:
        return await let_go(s, deps.clock, w, State.REFUSED, "destination is on the screening list")
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.SCREENED)


async def _pay(
    s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, quotes: Mapping[int, int]
) -> bool:
    """Let it wait for its books, its time and its fee, then see to its money."""
    if not _is_recalling(w):
        stopped = await rows.stopped(s, w)
        if stopped is not None:
            return await schedule.put_off(s, deps.clock, w, stopped)
        lost = await restored.repeated(s, w.tenant_id, w.asset_id, [w.destination])
        if lost is not None:
            return await schedule.put_off(s, deps.clock, w, lost)
        if await owing.owes(s, w.tenant_id, w.customer_id, w.asset_id):
            return await schedule.put_off(s, deps.clock, w, owing.REASON)
        intent = (await intents.get(s, w.tenant_id, w.intent_id)).intent
        reason = schedule.waits_for(w, intent.gas_limit, quotes, deps.clock.now())
        if reason is not None:
            return await schedule.put_off(s, deps.clock, w, reason)
    return await _fund(s, deps, w)


def _is_recalling(w: Withdrawal) -> bool:
    return w.state is State.AWAITING_LIQUIDITY and w.pool_amount > 0 and not w.redeemed


async def _send_back(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    reason = "an approval fell away"
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.SCREENED, reason)


async def _reconsider(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> IntentState:
    now = deps.clock.now()
    return await intents.reconsider(s, w.tenant_id, w.intent_id, at=now, hold_back=True)


async def _fund(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """The list may have grown while people approved or funds were recalled: look again.

    While the router carries pooled money for it, the withdrawal is left alone until that is done.
    """
    if not _is_recalling(w):
        verdict = await screen.check(s, w.destination)
        if verdict is screen.Verdict.LISTED:
            reason = "destination is on the screening list"
            return await let_go(s, deps.clock, w, State.REFUSED, reason)
        if verdict is screen.Verdict.NO_LIST:
            return False
    if w.state is State.SCHEDULED:  # an approval may have run out, a policy changed
        state = await _reconsider(s, deps, w)
        if state is IntentState.REFUSED:
            return await let_go(s, deps.clock, w, State.REFUSED, "policy refuses")
        if state is not IntentState.APPROVED:
            return await _send_back(s, deps, w)
    return await liquidity.advance(s, deps, w)


async def _decide(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    state = await _reconsider(s, deps, w)
    if state is IntentState.REFUSED:
        return await let_go(s, deps.clock, w, State.REFUSED, "policy refuses")
    if state is IntentState.APPROVED:
        return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.APPROVED)
    return False


async def _mirror(
    s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, quotes: Mapping[int, int]
) -> bool:
    """Show how far settlement is. Its end states arrive through PayoutEffects, not here."""
    if w.payer == places.SAFE:
        return await _mirror_safe(s, deps, w)
    intent = await intents.get(s, w.tenant_id, w.intent_id)
    # It may be approved again by now, but it is not queued: it goes through liquidity once more.
    sent_back = (IntentState.AWAITING_APPROVAL, IntentState.APPROVED)
    if intent.state in sent_back and w.state is State.RELEASED:
        await liquidity.void_payout_hold(s, w, deps.clock.now())
        return await _send_back(s, deps, w)
    if await schedule.take_back(s, deps, w, intent, quotes):
        return True
    new = _MIRROR.get(intent.state)
    if new is None or new is w.state:
        return False
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, new)


async def _mirror_safe(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """Show how far the Safe's execution is. That it came to nothing leaves it `unknown`: what the
    owners signed can still be executed, by anybody."""
    proposal = await proposals.of_withdrawal(s, w.id)
    if proposal is None or proposal.intent_id is None:
        return False
    if proposal.state is ProposalState.EXECUTING:
        intent = await intents.get(s, w.tenant_id, proposal.intent_id)
        new = _MIRROR.get(intent.state)
    else:
        new = State.UNKNOWN
    if new is None or new is w.state:
        return False
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, new, proposal.reason)


async def cancel(s: WriteSession, clock: Clock, w: Withdrawal, reason: str) -> None:
    """Requires that nothing has been handed to settlement or the router yet. Raises Conflict."""
    recalling = w.state is State.AWAITING_LIQUIDITY and w.pool_amount > 0
    if w.state not in CANCELLABLE or recalling:
        raise Conflict(f"a withdrawal in state {w.state.value} cannot be cancelled any more")
    if await _is_being_paid(s, w):
        raise Conflict("the withdrawal was paid before this database was restored")
    await let_go(s, clock, w, State.CANCELLED, reason)


async def let_go(s: WriteSession, clock: Clock, w: Withdrawal, end: State, reason: str) -> bool:
    """End a withdrawal that was not paid: void its holds, cancel its intent if it is open."""
    ids = [hold_id for hold_id, _ in await rows.holds(s, w.id)]
    if w.share_hold_id is not None and not w.redeemed:
        ids.append(w.share_hold_id)
    if w.payout_hold_id is not None:
        ids.append(w.payout_hold_id)
    if ids:
        await post_or_raise(s, [_void(w, TransferId(i), clock) for i in ids])
    intent = await intents.get(s, w.tenant_id, w.intent_id, lock=True)
    if intent.state in (IntentState.AWAITING_APPROVAL, IntentState.APPROVED):
        await intents.cancel(s, w.intent_id, intent.state, reason)
    return await move(s, clock, w.tenant_id, w.id, w.state, end, reason)


def _void(w: Withdrawal, hold_id: TransferId, clock: Clock) -> Transfer:
    return void_hold(
        TransferId(new_uuid7()),
        TenantId(w.tenant_id),
        hold_id,
        "withdrawal.let_go",
        event_at=clock.now(),
        reference=format_id("withdrawal", w.id),
    )


async def settled(s: WriteSession, clock: Clock, w: Withdrawal, receipt: Receipt) -> None:
    """Paid and final: journals, state and audit entry. `receipt` is of whatever paid it."""
    await post_or_raise(s, await _journal(s, w, receipt))
    await move(s, clock, w.tenant_id, w.id, w.state, State.SETTLED)
    await log.append(
        s,
        w.tenant_id,
        "withdrawal.settled",
        {
            "withdrawal": format_id("withdrawal", w.id),
            "intent": format_id("intent", w.intent_id),
            "asset": w.asset_id,
            "net": str(w.net),
            "network_fee": str(w.network_fee),
            "fee": str(w.service_fee),
            "chain_id": str(w.chain_id),
            "tx_hash": receipt.tx_hash,
            "block_number": str(receipt.block.number),
            "block_hash": receipt.block.hash,
        },
        at=clock.now(),
    )


async def _journal(s: WriteSession, w: Withdrawal, receipt: Receipt) -> list[Transfer]:
    flight = await accounts.in_flight(s, w.tenant_id, w.chain_id, w.asset_id)
    income = await accounts.ensure(s, w.tenant_id, chart.INCOME_FEES, w.asset_id, "income")
    tenant, code = TenantId(w.tenant_id), "withdrawal.settled"
    common: dict[str, Any] = {
        "group_id": new_uuid7(),
        "event_at": from_timestamp(receipt.block.timestamp),
        "chain_id": w.chain_id,
        "block_number": receipt.block.number,
        "reference": format_id("withdrawal", w.id),
    }
    holds = [(w.payout_hold_id, w.net), *await rows.holds(s, w.id)]
    journal = [
        post_hold(TransferId(new_uuid7()), tenant, TransferId(h), amount, code, **common)
        for h, amount in holds
        if h is not None
    ]
    fee = w.network_fee + w.service_fee
    if fee:
        journal.insert(
            1,
            Transfer(TransferId(new_uuid7()), tenant, flight, income, fee, code, **common),
        )
    return journal


class PayoutEffects:
    """Final: liability:customer -> in-flight, asset:payout -> in-flight, fees -> income."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        w = await rows.by_intent(s, intent.id)
        if w is None:
            await suspense.book(s, self._clock, intent, intent.amount, receipt)
        else:
            await restored.resolve(s, intent.id, Resolution.KNOWN, at=self._clock.now())
            await settled(s, self._clock, w, receipt)

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        w = await rows.by_intent(s, intent.id)
        if w is None:  # nothing was paid, and nothing is held here
            await restored.resolve(s, intent.id, Resolution.UNPAID, at=self._clock.now())
            return
        if receipt is None:
            end = State.REFUSED
        else:
            end = State.CANCELLED if receipt.status == 1 else State.FAILED
        await let_go(s, self._clock, w, end, reason)

"""A batch's way from requested to settled: the job that steps it, its ends, and its journals."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from chains.evm.contracts import payouts
from chains.types import Receipt
from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken, Conflict
from custody.core.ids import TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.isolation import each
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_hold, post_or_raise, void_hold
from custody.settlement import intents, restored
from custody.settlement.restored import Resolution
from custody.settlement.states import IntentState
from custody.withdrawals import screen, suspense
from custody.withdrawals.batches import fund, rows
from custody.withdrawals.batches.charges import BatchCharges, Outcome, outcome
from custody.withdrawals.batches.rows import Batch, Item
from custody.withdrawals.batches.states import CANCELLABLE, PayoutState, State, move
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.screen import Verdict

logger = logging.getLogger(__name__)

EXPIRES_AFTER = timedelta(hours=24)
_MIRROR = {
    IntentState.SIGNED: State.SIGNED,
    IntentState.SENT: State.SENT,
    IntentState.UNKNOWN: State.UNKNOWN,
    IntentState.MINED: State.CONFIRMED,
}


async def step(deps: WithdrawalDeps) -> int:
    """Advance every open batch by at most one state; how many moved."""
    async with deps.db.read() as s:
        waiting = await rows.open_ones(s)

    async def advance(b: Batch) -> bool:
        async with deps.db.write() as s:
            return await _advance(s, deps, await rows.get(s, b.tenant_id, b.id, lock=True))

    return await each(logger, "batch", waiting, advance)


async def _advance(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    young = b.state in (State.REQUESTED, State.SCREENED, State.APPROVED)
    if young and deps.clock.now() - b.created_at > EXPIRES_AFTER:
        return await let_go(s, deps.clock, b, State.EXPIRED, "not approved in time")
    match b.state:
        case State.REQUESTED:
            return await _screened(s, deps, b) and await move(
                s, deps.clock, b.tenant_id, b.id, b.state, State.SCREENED
            )
        case State.SCREENED:
            return await _decide(s, deps, b)
        case State.APPROVED | State.AWAITING_LIQUIDITY:
            # The list may have grown while people approved: look again.
            return await _screened(s, deps, b) and await fund.advance(s, deps, b)
        case State.ALLOWING:
            return False
        case State.ALLOWED:
            return await _resume(s, deps, b)
        case _:
            return await _mirror(s, deps, b)


async def _screened(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    """Whether every destination is clear. One that is listed refuses the batch; no list waits."""
    for item in await rows.items(s, b.id):
        verdict = await screen.check(s, item.destination)
        if verdict is Verdict.LISTED:
            reason = f"destination of payout {item.number} is on the screening list"
            await let_go(s, deps.clock, b, State.REFUSED, reason)
            return False
        if verdict is Verdict.NO_LIST:
            return False  # fails closed: the money stays, the state says where
    return True


async def _decide(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    state = await intents.reconsider(
        s, b.tenant_id, b.intent_id, at=deps.clock.now(), hold_back=True
    )
    if state is IntentState.REFUSED:
        return await let_go(s, deps.clock, b, State.REFUSED, "policy refuses")
    if state is IntentState.APPROVED:
        return await move(s, deps.clock, b.tenant_id, b.id, b.state, State.APPROVED)
    return False


async def _resume(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    stopped = await rows.stopped(s, b)
    if stopped is not None:
        await rows.tell(s, b, stopped)
        return False
    state, released = await fund.resume(s, deps, b)
    if released:
        return True
    if state is IntentState.REFUSED:
        return await let_go(s, deps.clock, b, State.REFUSED, "policy refuses")
    return await _send_back(s, deps, b)


async def _send_back(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    """To people once more, and then through liquidity and a new allowance."""
    if b.payout_hold_id is not None:
        await post_or_raise(s, [_void(b, TransferId(b.payout_hold_id), deps.clock)])
    await s.execute(
        "UPDATE payout_batches SET payout_hold_id = NULL, allowance_intent_id = NULL"
        " WHERE id = :id",
        {"id": b.id},
    )
    reason = "an approval fell away"
    return await move(s, deps.clock, b.tenant_id, b.id, b.state, State.SCREENED, reason)


async def _mirror(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    """Show how far settlement is. Its end states arrive through BatchEffects, not here."""
    intent = await intents.get(s, b.tenant_id, b.intent_id)
    sent_back = (IntentState.AWAITING_APPROVAL, IntentState.APPROVED)
    if intent.state in sent_back and b.state is State.RELEASED:
        return await _send_back(s, deps, b)
    if intent.state is IntentState.QUEUED:
        # It keeps its place: its allowance is given, and settlement gives it no nonce meanwhile.
        await rows.tell(s, b, await rows.stopped(s, b))
    new = _MIRROR.get(intent.state)
    if new is None or new is b.state:
        return False
    return await move(s, deps.clock, b.tenant_id, b.id, b.state, new)


async def cancel(s: WriteSession, clock: Clock, b: Batch, reason: str) -> None:
    """Requires that nothing has been handed to settlement yet. Raises Conflict."""
    if b.state not in CANCELLABLE:
        raise Conflict(f"a batch in state {b.state.value} cannot be cancelled any more")
    await let_go(s, clock, b, State.CANCELLED, reason)


async def let_go(s: WriteSession, clock: Clock, b: Batch, end: State, reason: str) -> bool:
    """End a batch that was not paid: void its holds, cancel its intent if it is open."""
    held = [h for h in (b.hold_id, b.payout_hold_id) if h is not None]
    await post_or_raise(s, [_void(b, TransferId(h), clock) for h in held])
    intent = await intents.get(s, b.tenant_id, b.intent_id, lock=True)
    if intent.state in (IntentState.AWAITING_APPROVAL, IntentState.APPROVED):
        await intents.cancel(s, b.intent_id, intent.state, reason)
    ended = {i.number: PayoutState.RELEASED for i in await rows.items(s, b.id)}
    await rows.end_items(s, b.id, ended)
    return await move(s, clock, b.tenant_id, b.id, b.state, end, reason)


def _void(b: Batch, hold_id: TransferId, clock: Clock) -> Transfer:
    return void_hold(
        TransferId(new_uuid7()),
        b.tenant_id,
        hold_id,
        "batch.let_go",
        event_at=clock.now(),
        reference=format_id("batch", b.id),
    )


def skipped_of(intent: Intent, receipt: Receipt) -> frozenset[int]:
    """The numbers of the payouts that the chain did not make, by the contract's own events.

    Raises Broken if they are not about exactly these payouts: then a person must look.
    """
    made = [payouts.Payout(p.recipient, p.amount) for p in intent.payouts]
    seen = payouts.paid_batch(receipt.logs, intent.to, intent.sender, intent.id.int)
    if seen is None or seen.digest != payouts.digest(made) or seen.count != len(made):
        raise Broken(f"intent {intent.id}: its receipt does not tell of its batch")
    skipped = frozenset(x.index for x in seen.skipped)
    left = sum(p.amount for i, p in enumerate(made) if i not in skipped)
    same = all(x.payout == made[x.index] for x in seen.skipped) and len(skipped) == len(
        seen.skipped
    )
    if not same or left != seen.paid:
        raise Broken(f"intent {intent.id}: the skipped payouts are not its own")
    return skipped


class BatchEffects:
    """Final: what was paid leaves, fees are income, and what was skipped goes back to the holder.

    A batch that reverted, or was refused, gives all of it back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        b, skipped = await rows.by_intent(s, intent.id), skipped_of(intent, receipt)
        if b is None:
            paid = sum(p.amount for i, p in enumerate(intent.payouts) if i not in skipped)
            await suspense.book(s, self._clock, intent, paid, receipt)
            return
        await restored.resolve(s, intent.id, Resolution.KNOWN, at=self._clock.now())
        items = await rows.items(s, b.id)
        end = _outcome(b, items, skipped)
        await post_or_raise(s, await _journal(s, b, end, receipt))
        await rows.end_items(
            s,
            b.id,
            {
                i.number: PayoutState.SKIPPED if i.number in skipped else PayoutState.PAID
                for i in items
            },
        )
        await move(s, self._clock, b.tenant_id, b.id, b.state, State.SETTLED)
        await self._log(s, b, end, sorted(skipped), receipt)

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        b = await rows.by_intent(s, intent.id)
        if b is None:  # nothing was paid, and nothing is held here
            await restored.resolve(s, intent.id, Resolution.UNPAID, at=self._clock.now())
            return
        if receipt is None:
            end = State.REFUSED
        else:
            end = State.CANCELLED if receipt.status == 1 else State.FAILED
        await let_go(s, self._clock, b, end, reason)

    async def _log(
        self, s: WriteSession, b: Batch, end: Outcome, skipped: Sequence[int], receipt: Receipt
    ) -> None:
        data: dict[str, Json] = {
            "batch": format_id("batch", b.id),
            "intent": format_id("intent", b.intent_id),
            "asset": b.asset_id,
            "paid": str(end.paid),
            "fees": str(end.fees),
            "returned": str(end.returned),
            "skipped": [str(n) for n in skipped],
            "chain_id": str(b.chain_id),
            "tx_hash": receipt.tx_hash,
            "block_number": str(receipt.block.number),
            "block_hash": receipt.block.hash,
        }
        await log.append(s, b.tenant_id, "batch.settled", data, at=self._clock.now())


def _outcome(b: Batch, items: Sequence[Item], skipped: frozenset[int]) -> Outcome:
    charged = BatchCharges(b.net, b.network_fee, tuple(i.service_fee for i in items))
    return outcome(charged, [i.amount for i in items], skipped)


async def _journal(s: WriteSession, b: Batch, end: Outcome, receipt: Receipt) -> list[Transfer]:
    """asset:payout -> in-flight, liability:customer -> in-flight, fees -> income; one group.

    Both holds are posted in part where something was skipped; what is left of them is let go.
    """
    flight = await accounts.in_flight(s, b.tenant_id, b.chain_id, b.asset_id)
    income = await accounts.ensure(s, b.tenant_id, chart.INCOME_FEES, b.asset_id, "income")
    common: dict[str, Any] = {
        "group_id": new_uuid7(),
        "event_at": from_timestamp(receipt.block.timestamp),
        "chain_id": b.chain_id,
        "block_number": receipt.block.number,
        "reference": format_id("batch", b.id),
    }
    holds = [(b.payout_hold_id, end.paid), (b.hold_id, end.paid + end.fees)]
    journal = [
        _end(b, TransferId(hold), amount, common) for hold, amount in holds if hold is not None
    ]
    if end.fees:
        id_ = TransferId(new_uuid7())
        fees = Transfer(id_, b.tenant_id, flight, income, end.fees, "batch.settled", **common)
        journal.insert(1, fees)
    return journal


def _end(b: Batch, hold_id: TransferId, amount: int, common: dict[str, Any]) -> Transfer:
    """A hold of which nothing is left over is voided: nothing cannot be posted."""
    id_ = TransferId(new_uuid7())
    if amount == 0:
        return void_hold(id_, b.tenant_id, hold_id, "batch.settled", **common)
    return post_hold(id_, b.tenant_id, hold_id, amount, "batch.settled", **common)


class AllowanceEffects:
    """Final: the batch that waits for it goes on. Not given: that batch has failed.

    Nothing moves, so nothing is posted. An allowance that nobody waits for any more lets the
    contract take at most its amount, and only in a call by the payout wallet itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        b = await rows.by_allowance(s, intent.id)
        if b is not None and b.state is State.ALLOWING:
            await move(s, self._clock, b.tenant_id, b.id, b.state, State.ALLOWED)

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        b = await rows.by_allowance(s, intent.id)
        if b is not None and b.state is State.ALLOWING:
            await let_go(s, self._clock, b, State.FAILED, f"no allowance: {reason}")

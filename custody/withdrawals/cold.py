"""Withdrawals that the treasury's Safe pays: proposed, signed by its owners, executed, watched.

Money that is over the hot limit is never in reach of a key of ours. What the owners have signed can
be executed by anybody, so what was held is let go only once the Safe's nonce is known to have been
used by something else; a failed execution of ours says nothing.
"""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.evm.contracts.safe import (
    Execution,
    Outcome,
    Safe,
    SafeCall,
    encode_execute,
    executions,
    pack_signatures,
    rejection,
    transaction_hash,
)
from chains.types import Receipt
from custody.core.clock import Clock
from custody.core.db import WriteSession
from custody.core.errors import Conflict, NotFound
from custody.core.ids import IntentId, SafeProposalId, TenantId, format_id, new_uuid7, parse_id
from custody.core.intents import Intent, IntentKind
from custody.core.isolation import each
from custody.core.money import AssetId, native_asset
from custody.parties import places
from custody.settlement import intents, restored
from custody.settlement.restored import Resolution
from custody.settlement.states import IntentState
from custody.withdrawals import liquidity, proposals, rows, schedule, settle, suspense
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.proposals import Proposal, ProposalState
from custody.withdrawals.request import GAS_PRICE_MAX_WEI
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State, move

logger = logging.getLogger(__name__)

GAS_EXECUTE = 400_000
RETRY_AFTER = timedelta(seconds=60)
_P = ProposalState


@dataclass(frozen=True, slots=True)
class _Base:
    """A final block, the Safe's nonce there, and its nonce at the head."""

    block: int
    nonce: int
    head_nonce: int


async def step(deps: WithdrawalDeps) -> int:
    """Propose what waits for it; advance every open proposal by at most one state."""
    async with deps.db.read() as s:
        released = await rows.without_proposal(s)
        waiting = await proposals.open_ones(s)

    async def propose(w: Withdrawal) -> bool:
        return await _propose(deps, w)

    async def look(p: Proposal) -> bool:
        return await _guarded(deps, p)

    moved = await each(logger, "safe proposal", released, propose)
    return moved + await each(logger, "safe proposal", waiting, look)


async def _guarded(deps: WithdrawalDeps, p: Proposal) -> bool:
    try:
        return await _watch(deps, p) or await _execute(deps, p)
    except ChainError as error:
        logger.warning("chain did not answer", extra={"proposal": p.id, "error": error})
        return False


async def _base(deps: WithdrawalDeps, chain_id: int, safe: str) -> _Base:
    client = deps.clients[chain_id]
    head = await client.block("latest")
    final = await client.block(_final(deps, chain_id, head.number))
    contract = Safe(client, safe)
    return _Base(final.number, await contract.nonce(final), await contract.nonce(head))


def _final(deps: WithdrawalDeps, chain_id: int, head: int) -> int:
    """The newest block at the depth that policy asks for."""
    return max(0, head - deps.registry.chain(chain_id).confirmations + 1)


async def _propose(deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """Bind the next of the Safe's nonces to the withdrawal. From then on its hash may be signed."""
    async with deps.db.read() as s:
        intent = (await intents.get(s, w.tenant_id, w.intent_id)).intent
    base = await _base(deps, w.chain_id, intent.sender)
    now = deps.clock.now()
    async with deps.db.write() as s:
        w = await rows.get(s, w.tenant_id, w.id, lock=True)
        known = await proposals.of_withdrawal(s, w.id)
        if w.state is not State.RELEASED or known is not None:
            return False
        stopped = await rows.stopped(s, w)
        if stopped is not None:
            await liquidity.void_payout_hold(s, w, now)
            return await schedule.put_off(s, deps.clock, w, stopped)
        if not await _still_approved(s, deps, w):
            await liquidity.void_payout_hold(s, w, now)
            reason = "an approval fell away"
            return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.SCREENED, reason)
        nonce = await proposals.next_nonce(s, w.chain_id, intent.sender, base.head_nonce)
        await proposals.add(s, _proposal(w, intent, base, nonce, deps.clock))
    return True


def _proposal(w: Withdrawal, intent: Intent, base: _Base, nonce: int, clock: Clock) -> Proposal:
    """The Safe's call is the call that people approved, byte for byte."""
    call = SafeCall(intent.to, intent.value, bytes.fromhex(intent.data[2:]))
    safe, now = intent.sender, clock.now()
    return Proposal(
        id=SafeProposalId(new_uuid7()),
        tenant_id=w.tenant_id,
        withdrawal_id=w.id,
        chain_id=w.chain_id,
        safe=safe,
        safe_nonce=nonce,
        to_address=call.to,
        value=call.value,
        data=intent.data,
        pay_hash=transaction_hash(w.chain_id, safe, call, nonce),
        reject_hash=transaction_hash(w.chain_id, safe, rejection(safe), nonce),
        base_block=base.block,
        base_nonce=base.nonce,
        state=_P.PROPOSED,
        reason=None,
        intent_id=None,
        created_at=now,
        updated_at=now,
    )


async def _still_approved(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """Property 16: on today's policy and people."""
    state = await intents.reconsider(
        s, w.tenant_id, w.intent_id, at=deps.clock.now(), hold_back=True
    )
    return state is IntentState.APPROVED


# --- what the chain says ----------------------------------------------------------------------


async def _watch(deps: WithdrawalDeps, p: Proposal) -> bool:
    """End the proposal if its nonce was used in a final block, by it or by anything."""
    client = deps.clients[p.chain_id]
    last = _final(deps, p.chain_id, await client.height())
    if last <= p.base_block:
        return False
    safe = Safe(client, p.safe)
    nonce = await safe.nonce(await client.block(last))
    if nonce <= p.safe_nonce:
        return False
    found = await safe.executions(p.base_block + 1, last)
    if len(found) != nonce - p.base_nonce:
        # Every use of a nonce leaves one event: a node that knows fewer must not make us think
        # that ours was not among them.
        logger.error("events of the Safe are missing", extra={"proposal": p.id})
        return False
    by_hash = {e.safe_tx_hash: e for e in found}
    paid = by_hash.get(p.pay_hash)
    if paid is None:
        return await _let_go(deps, p, by_hash.get(p.reject_hash))
    receipt = await client.receipt(paid.tx_hash)
    evidence = None if receipt is None else _own(p, receipt)
    if receipt is None or evidence is None:
        return False
    async with deps.db.write() as s:
        return await ended(s, deps.clock, p, evidence, receipt)


async def ended(
    s: WriteSession, clock: Clock, p: Proposal, used: Execution, receipt: Receipt
) -> bool:
    """Our transaction used the nonce: it paid, or (with a failure inside) moved nothing."""
    where = (used.safe_tx_hash, used.tx_hash, used.block_number)
    if used.outcome is Outcome.FAILURE:
        reason = "the call inside the Safe failed"
        if not await proposals.move(s, p, _P.FAILED, at=clock.now(), reason=reason, used_by=where):
            return False
        w = await rows.get(s, p.tenant_id, p.withdrawal_id, lock=True)
        return await settle.let_go(s, clock, w, State.FAILED, reason)
    if not await proposals.move(s, p, _P.EXECUTED, at=clock.now(), used_by=where):
        return False
    w = await rows.get(s, p.tenant_id, p.withdrawal_id, lock=True)
    await settle.settled(s, clock, w, receipt)
    decided = await intents.get(s, w.tenant_id, w.intent_id, lock=True)
    if decided.state in (IntentState.APPROVED, IntentState.AWAITING_APPROVAL):
        await intents.cancel(s, w.intent_id, decided.state, "paid by the treasury's Safe")
    return True


async def _let_go(deps: WithdrawalDeps, p: Proposal, rejected: Execution | None) -> bool:
    """The nonce is used, and not by the payment: it can never be executed any more."""
    if rejected is not None:
        new, end, reason = _P.REJECTED, State.CANCELLED, "rejected by the Safe's owners"
        where = (rejected.safe_tx_hash, rejected.tx_hash, rejected.block_number)
    else:
        new, end, where = _P.DISPLACED, State.FAILED, None
        reason = "another transaction of the Safe used the nonce"
    async with deps.db.write() as s:
        if not await proposals.move(s, p, new, at=deps.clock.now(), reason=reason, used_by=where):
            return False
        w = await rows.get(s, p.tenant_id, p.withdrawal_id, lock=True)
        return await settle.let_go(s, deps.clock, w, end, reason)


# --- what we do -------------------------------------------------------------------------------


async def _execute(deps: WithdrawalDeps, p: Proposal) -> bool:
    """Make the intent of the execution once enough owners have signed what is wanted now."""
    now = deps.clock.now()
    if p.state not in (_P.PROPOSED, _P.BLOCKED, _P.REJECTING):
        return False
    if p.intent_id is not None and now - p.updated_at < RETRY_AFTER:
        return False  # it has just failed, or was just rejected
    async with deps.db.read() as s:
        signed = await proposals.signatures(s, p, p.wanted_hash)
    if not signed:
        return False
    client = deps.clients[p.chain_id]
    chosen = await _enough(client, p, signed)
    if chosen is None:
        return False
    async with deps.db.write() as s:
        fresh = await proposals.get(s, p.tenant_id, p.id, lock=True)
        if (fresh.state, fresh.intent_id) != (p.state, p.intent_id):
            return False
        return await _create(s, deps, p, encode_execute(p.wanted_call, pack_signatures(chosen)))


async def _enough(
    client: EvmClient, p: Proposal, signed: dict[str, bytes]
) -> dict[str, bytes] | None:
    """Signatures of k who are owners now, if it is this nonce's turn; else None."""
    state = await Safe(client, p.safe).state(await client.block("latest"))
    if state.nonce != p.safe_nonce:
        return None
    valid = [owner for owner in sorted(signed) if owner in state.owners]
    if len(valid) < state.threshold:
        return None
    return {owner: signed[owner] for owner in valid[: state.threshold]}


async def _create(s: WriteSession, deps: WithdrawalDeps, p: Proposal, data: bytes) -> bool:
    w = await rows.get(s, p.tenant_id, p.withdrawal_id, lock=True)
    pays = p.state in proposals.WANTS_PAYMENT
    stopped = await rows.stopped(s, w) if pays else None
    if stopped is not None:
        await schedule.tell(s, w, stopped)
        return False
    if pays and not await _still_approved(s, deps, w):
        logger.warning("no longer approved: reject it", extra={"proposal": p.id})
        return False
    gas = await places.place(s, p.tenant_id, p.chain_id, places.GAS)
    intent = Intent(
        id=IntentId(new_uuid7()),
        tenant_id=TenantId(p.tenant_id),
        kind=IntentKind.PAYOUT_SAFE if pays else IntentKind.SAFE_REJECT,
        chain_id=p.chain_id,
        sender=gas.address,
        sender_path=str(gas.path),
        to=p.safe,
        value=0,
        data="0x" + data.hex(),
        asset_id=w.asset_id if pays else AssetId(native_asset(p.chain_id)),
        amount=w.net if pays else 0,
        beneficiary=w.destination if pays else p.safe,
        gas_limit=GAS_EXECUTE,
        fee_max_wei=GAS_EXECUTE * GAS_PRICE_MAX_WEI,
        reference=format_id("safe_proposal", p.id),
    )
    await intents.create(s, intent, at=deps.clock.now())
    new = _P.EXECUTING if pays else _P.REJECT_EXECUTING
    return await proposals.move(s, p, new, at=deps.clock.now(), intent_id=intent.id)


async def reject(s: WriteSession, clock: Clock, p: Proposal, reason: str) -> bool:
    """Ask the owners for a call of nothing at the same nonce. Requires the row's lock.

    If the payment is executed first, it was paid and settles. Raises Conflict at the end, or where
    that was asked before.
    """
    if p.state not in proposals.WANTS_PAYMENT:
        raise Conflict(
            f"a proposal in state {p.state.value} cannot be rejected",
            field="proposal_id",
            rule="must be proposed, executing or blocked",
        )
    await proposals.forget_intent(s, p)
    return await proposals.move(s, p, _P.REJECTING, at=clock.now(), reason=reason)


class ExecutionEffects:
    """What an execution's own receipt says. The ledger waits for `step`, which looks at the Safe.

    A success here is evidence at the right depth already, so it settles at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        p = await proposals.of_intent(s, intent.id)
        if p is None:
            await self._lost(s, intent, receipt)
            return
        await restored.resolve(s, intent.id, Resolution.KNOWN, at=self._clock.now())
        if p.state not in proposals.OPEN:
            return  # somebody else's execution was seen before
        used = _own(p, receipt)
        if used is not None:
            await ended(s, self._clock, p, used, receipt)

    async def _lost(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        """A restore lost the execution. Its proposal, if that is here, is settled by `step`."""
        if intent.kind is not IntentKind.PAYOUT_SAFE:
            return
        id_ = SafeProposalId(parse_id("safe_proposal", intent.reference, "reference"))
        try:
            await proposals.get(s, intent.tenant_id, id_)
        except NotFound:
            done = [x for x in executions(receipt.logs, intent.to) if x.outcome is Outcome.SUCCESS]
            paid = intent.amount if done else 0
            await suspense.book(s, self._clock, intent, paid, receipt, places.SAFE)
        else:
            await restored.resolve(s, intent.id, Resolution.KNOWN, at=self._clock.now())

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """Nothing is let go: what the owners signed is out, or may be."""
        p = await proposals.of_intent(s, intent.id)
        if p is None:
            await restored.book(s, intent.id, 0)  # a person watches whether others execute it
            return
        back = {_P.EXECUTING: _P.BLOCKED, _P.REJECT_EXECUTING: _P.REJECTING}.get(p.state)
        if back is not None:
            await proposals.move(s, p, back, at=self._clock.now(), reason=reason[:500])


def _own(p: Proposal, receipt: Receipt) -> Execution | None:
    """The payment's execution among the events of a receipt."""
    for found in executions(receipt.logs, p.safe):
        if found.safe_tx_hash == p.pay_hash:
            block = receipt.block.number
            return replace(found, tx_hash=receipt.tx_hash, block_number=block)
    return None

"""Dearer versions of what is stuck, at the nonce it has: the same effect, both fees 12.5 % up.

A cancel is one of the versions, and is raised like the others once it is stuck.

The nonce was bound in commit 2. The signer keeps a version before it answers; the version is ours
with the next commit; only then it is broadcast. A kill in between loses no more than an answer:
asked again, the signer gives bytes that exist, or dearer ones.
"""

import logging
from datetime import timedelta

from chains.errors import ChainError
from custody.core.isolation import each
from custody.core.ports import Fees, SignedTransaction, SignerRefused, SignerUnavailable
from custody.policy import decisions
from custody.settlement import intents, outbound, pricing, standstill, versions
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import PENDING, IntentState
from custody.settlement.versions import Purpose, Version

logger = logging.getLogger(__name__)

_OUTSIDE = (IntentState.SENT, IntentState.UNKNOWN)
SENDABLE = (IntentState.SIGNED, IntentState.SENT, IntentState.UNKNOWN)


async def step(deps: SettlementDeps) -> int:
    """Look at everything that waits for a block; how many were replaced."""
    async with deps.db.read() as s:
        stopped = await standstill.stops(s)
        found = await intents.in_states(s, list(PENDING))
    pending = [row for row in found if row.intent.chain_id not in stopped]
    rows = [row for row in pending if row.cancel_reason is not None or row.state in _OUTSIDE]
    market: dict[int, tuple[Fees, int]] = {}
    for chain_id in {row.intent.chain_id for row in rows}:
        try:
            market[chain_id] = await _market(deps, chain_id)
        except ChainError as error:
            logger.warning("chain did not answer", extra={"chain_id": chain_id, "error": error})

    async def look(row: IntentRow) -> bool:
        return await _look(deps, row, *market[row.intent.chain_id])

    known = [row for row in rows if row.intent.chain_id in market]
    return await each(logger, "replacement", known, look)


async def now(deps: SettlementDeps, row: IntentRow) -> bool:
    """A dearer version at once, whatever the patience. Raises ChainError."""
    quote, _ = await _market(deps, row.intent.chain_id)
    async with deps.db.read() as s:
        known = await versions.of(s, row.intent.id)
    return await _replace(deps, row, known, quote)


async def _market(deps: SettlementDeps, chain_id: int) -> tuple[Fees, int]:
    """What the chain asks for now, and its base fee. Raises ChainError."""
    client = deps.clients[chain_id]
    quote, base_fee = await client.fees(), await client.base_fee()
    return Fees(quote.max_fee_per_gas, quote.max_priority_fee_per_gas), base_fee


async def _look(deps: SettlementDeps, row: IntentRow, quote: Fees, base_fee: int) -> bool:
    """Note since when it pays too little; replace it once that was long enough."""
    async with deps.db.read() as s:
        known = await versions.of(s, row.intent.id)
    if row.cancel_reason is not None and not any(v.purpose is Purpose.CANCEL for v in known):
        return await _replace(deps, row, known, quote)
    if row.state not in _OUTSIDE:
        return False
    last = versions.dearest(known)
    if not pricing.is_underpriced(last.fees, quote, base_fee):
        if row.underpriced_at is not None:
            await _note(deps, row, is_underpriced=False)
        return False
    if row.underpriced_at is None:
        await _note(deps, row, is_underpriced=True)
        return False
    patience = timedelta(seconds=deps.rules.replace_after_s)
    if deps.clock.now() - row.underpriced_at < patience:
        return False
    if len(known) >= deps.rules.versions_max:
        logger.warning("stuck: no further version", extra={"intent": row.intent.id})
        return False
    return await _replace(deps, row, known, quote)


async def _note(deps: SettlementDeps, row: IntentRow, *, is_underpriced: bool) -> None:
    at = deps.clock.now() if is_underpriced else None
    async with deps.db.write() as s:
        await intents.set_underpriced(s, row, at)


async def _replace(deps: SettlementDeps, row: IntentRow, known: list[Version], quote: Fees) -> bool:
    """Sign, store, broadcast the next version: of the cancel once that was decided."""
    gas = row.intent.gas_limit if row.cancel_reason is None else pricing.GAS_CANCEL
    bound = deps.rules.fee_bound(row.intent, gas)
    if known:
        fees = pricing.raised(versions.dearest(known).fees, quote, bound)
    else:
        fees = pricing.within(quote, bound)
    if fees is None:
        logger.warning("stuck: the fee cap is reached", extra={"intent": row.intent.id})
        return False
    try:
        signed = await _ask(deps, row, fees)
    except (SignerRefused, SignerUnavailable) as error:
        logger.warning("not replaced", extra={"intent": row.intent.id, "error": error})
        return False
    if not await _store(deps, row, signed):
        return False  # the bytes that were known: the signer's limits allow no dearer ones
    async with deps.db.read() as s:
        fresh = await intents.get(s, row.intent.tenant_id, row.intent.id)
    if fresh.state in SENDABLE:
        await outbound.broadcast(deps, fresh)
    return True


async def _ask(deps: SettlementDeps, row: IntentRow, fees: Fees) -> SignedTransaction:
    assert row.nonce is not None
    if row.cancel_reason is not None:
        return await deps.signer.sign_cancel(row.intent, row.nonce, fees)
    decision = decisions.from_json(row.decision or {})
    return await deps.signer.sign(row.intent, decision, row.nonce, fees)


async def _store(deps: SettlementDeps, row: IntentRow, signed: SignedTransaction) -> bool:
    """One commit: the version, the bytes to send from now on, the audit entry."""
    assert row.nonce is not None
    intent, now = row.intent, deps.clock.now()
    purpose = Purpose.PAY if row.cancel_reason is None else Purpose.CANCEL
    async with deps.db.write() as s:
        if not await versions.store(s, intent, row.nonce, signed, purpose, at=now):
            return False
        await intents.put_newest(s, row, signed)
        await outbound.log_signed(s, intent, row.nonce, signed, at=now)
    return True

"""Payments that the chain has and this database has no withdrawal for.

A restore leaves them: the request came after the backup, the payment's bytes came back from the
signer's store. Whose balance it was is not known here any more, so what was paid stands as the
operator's receivable until a person has seen to it (`resolve`). The wallet's account agrees with
the chain again, and nobody's balance was touched.
"""

from chains.types import Receipt
from custody.audit import log
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Conflict, NotFound
from custody.core.ids import (
    CustomerId,
    IntentId,
    TenantId,
    TransferId,
    format_id,
    new_uuid7,
    parse_id,
)
from custody.core.intents import Intent
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.settlement import intents, restored
from custody.settlement.restored import Resolution


async def book(
    s: WriteSession,
    clock: Clock,
    intent: Intent,
    amount: int,
    receipt: Receipt,
    payer: str = places.PAYOUT,
) -> None:
    """receivable:suspense <- asset:payout (or who else paid), by what was paid (base units).

    Raises while the wallet's account has not got the money: its fill may be one of those that come
    back, too, and the next step tries again.
    """
    tenant, asset = intent.tenant_id, intent.asset_id
    wallet_code = chart.wallet(payer, intent.chain_id)
    if amount:
        transfer = Transfer(
            id=TransferId(new_uuid7()),
            tenant_id=tenant,
            debit=await accounts.ensure(s, tenant, chart.RECEIVABLE_SUSPENSE, asset, "receivable"),
            credit=await accounts.by_code(s, tenant, wallet_code, asset),
            amount=amount,
            code="payment.suspended",
            event_at=from_timestamp(receipt.block.timestamp),
            chain_id=intent.chain_id,
            block_number=receipt.block.number,
            reference=format_id("intent", intent.id),
        )
        await post_or_raise(s, [transfer])
    await restored.book(s, intent.id, amount)
    await log.append(
        s,
        tenant,
        "payment.suspended",
        {
            "intent": format_id("intent", intent.id),
            "asset": asset,
            "amount": str(amount),
            "to": intent.beneficiary,
            "reference": intent.reference,
            "chain_id": str(intent.chain_id),
            "tx_hash": receipt.tx_hash,
            "block_number": str(receipt.block.number),
            "block_hash": receipt.block.hash,
        },
        at=clock.now(),
    )


async def resolve(
    s: WriteSession, clock: Clock, tenant_id: TenantId, intent_id: IntentId, outcome: Resolution
) -> None:
    """A person's word on a payment that came back: its customer is charged, or the operator bears
    it. A payment like it may be made from then on.

    Nobody can be charged but the customer whom the intent names, which the signer kept as it was
    signed. Raises NotFound, Conflict, InsufficientFunds.
    """
    name = format_id("intent", intent_id)
    found = await restored.of_intent(s, tenant_id, intent_id)
    if not found:
        raise NotFound("restored payment", name)
    if not await restored.resolve(s, intent_id, outcome, at=clock.now()):
        raise Conflict(f"{name} is resolved: {found[0].outcome}")
    booked = found[0].booked
    if booked is None:
        raise Conflict(f"{name} is not final yet: nobody knows what it paid")
    intent = (await intents.get(s, tenant_id, intent_id)).intent
    if booked:
        await post_or_raise(s, [await _resolving(s, clock, intent, booked, outcome)])
    data = {"intent": name, "asset": intent.asset_id, "amount": str(booked), "outcome": outcome}
    await log.append(s, tenant_id, "payment.resolved", data, at=clock.now())


async def _resolving(
    s: WriteSession, clock: Clock, intent: Intent, amount: int, outcome: Resolution
) -> Transfer:
    """liability:customer or expense:loss <- receivable:suspense."""
    tenant, asset = intent.tenant_id, intent.asset_id
    if outcome is Resolution.CHARGED:
        if intent.initiator is None or not intent.is_customers:
            raise Conflict("no customer asked for this payment: its signed intent names none")
        customer = CustomerId(parse_id("customer", intent.initiator, "initiator"))
        payer = await accounts.by_code(s, tenant, chart.customer(customer), asset)
    else:
        payer = await accounts.ensure(s, tenant, chart.EXPENSE_LOSS, asset, "expense")
    return Transfer(
        id=TransferId(new_uuid7()),
        tenant_id=tenant,
        debit=payer,
        credit=await accounts.by_code(s, tenant, chart.RECEIVABLE_SUSPENSE, asset),
        amount=amount,
        code="payment.resolved",
        event_at=clock.now(),
        chain_id=intent.chain_id,
        reference=format_id("intent", intent.id),
    )

"""Payments that the chain has and this database has no withdrawal for.

A restore leaves them: the request came after the backup, the payment's bytes came back from the
signer's store. Whose balance it was is not known here any more, so what was paid stands as the
operator's receivable until a person finds the request. The wallet's account agrees with the chain
again, and nobody's balance was touched.
"""

from chains.types import Receipt
from custody.audit import log
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.ids import TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places


async def book(
    s: WriteSession, clock: Clock, intent: Intent, amount: int, receipt: Receipt
) -> None:
    """receivable:suspense <- asset:payout, by what was paid (base units).

    Raises while the wallet's account has not got the money: its fill may be one of those that come
    back, too, and the next step tries again.
    """
    tenant, asset = intent.tenant_id, intent.asset_id
    wallet_code = chart.wallet(places.PAYOUT, intent.chain_id)
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

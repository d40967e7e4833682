"""Sent -> mined -> final -> posted. The receipt decides, at the depth that policy asks for."""

import logging

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.types import Receipt
from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import from_timestamp
from custody.core.db import WriteSession
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.isolation import each
from custody.core.money import native_asset
from custody.ledger import accounts, balances, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties.places import ROLES
from custody.settlement import intents, outbound, versions
from custody.settlement.deps import SettlementDeps
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState, move
from custody.settlement.versions import Purpose, Version

logger = logging.getLogger(__name__)

RESEND_AFTER_S = 15


async def step(deps: SettlementDeps) -> int:
    """Look for receipts of everything that has left; how many rows moved."""
    async with deps.db.read() as s:
        rows = await intents.in_states(
            s,
            [IntentState.SIGNED, IntentState.SENT, IntentState.UNKNOWN, IntentState.MINED],
        )
    return await each(logger, "receipt", rows, lambda row: _look(deps, row))


async def _look(deps: SettlementDeps, row: IntentRow) -> bool:
    try:
        return await _advance(deps, row)
    except ChainError as error:
        logger.warning("chain did not answer", extra={"intent": row.intent.id, "error": error})
        return False


async def _advance(deps: SettlementDeps, row: IntentRow) -> bool:
    client = deps.clients[row.intent.chain_id]
    async with deps.db.read() as s:
        known = await versions.of(s, row.intent.id)
    receipt = await _receipt_of_any(client, row, known)
    if receipt is None:
        return await _missing(deps, row, known)
    head = await client.height()
    # The receipt may come from a block that a reorg has just removed: ask for that height again.
    canonical = await client.block(receipt.block.number)
    if canonical.hash != receipt.block.hash:
        return False
    depth = head - receipt.block.number + 1
    if depth >= deps.registry.chain(row.intent.chain_id).confirmations:
        return await _finish(deps, row, receipt, known)
    if row.state is IntentState.MINED and row.block_hash == receipt.block.hash:
        return False
    async with deps.db.write() as s:
        return await _mined(s, row, receipt, known)


async def _receipt_of_any(
    client: EvmClient, row: IntentRow, known: list[Version]
) -> Receipt | None:
    """The receipt of whichever version was mined; the one that we expect is asked for first."""
    for version in sorted(known, key=lambda v: v.tx_hash != row.tx_hash):
        receipt = await client.receipt(version.tx_hash)
        if receipt is not None:
            return receipt
    return None


async def _mined(s: WriteSession, row: IntentRow, receipt: Receipt, known: list[Version]) -> bool:
    """The row shows the version that is in the block, whatever was sent last."""
    mined = next(v for v in known if v.tx_hash == receipt.tx_hash)
    return await move(
        s,
        row.intent.id,
        row.state,
        IntentState.MINED,
        raw=mined.raw,
        tx_hash=mined.tx_hash,
        block_number=receipt.block.number,
        block_hash=receipt.block.hash,
    )


async def _missing(deps: SettlementDeps, row: IntentRow, known: list[Version]) -> bool:
    """No receipt: back to `sent` if a reorg took the block; the same bytes again after a while."""
    if row.state is IntentState.MINED:
        newest = versions.dearest(known)  # the cheaper ones are refused where it is known
        async with deps.db.write() as s:
            return await move(
                s,
                row.intent.id,
                IntentState.MINED,
                IntentState.SENT,
                raw=newest.raw,
                tx_hash=newest.tx_hash,
                block_number=None,
                block_hash=None,
            )
    age_s = (deps.clock.now() - row.updated_at).total_seconds()
    pause_s = RESEND_AFTER_S
    if row.state is IntentState.UNKNOWN:
        pause_s = min(2 ** min(row.broadcasts, 8) - 1, RESEND_AFTER_S)
    if age_s >= pause_s:
        return await outbound.broadcast(deps, row)
    return False


async def _finish(
    deps: SettlementDeps, row: IntentRow, receipt: Receipt, known: list[Version]
) -> bool:
    """One commit: state, versions, gas of the mined one, the owner's journals, audit entry."""
    intent = row.intent
    end, reason = _end(row, receipt, known)
    async with deps.db.write() as s:
        await _mined(s, row, receipt, known)
        fee = receipt.gas_used * receipt.effective_gas_price
        moved = await move(
            s,
            intent.id,
            IntentState.MINED,
            end,
            block_number=receipt.block.number,
            block_hash=receipt.block.hash,
            gas_used=receipt.gas_used,
            fee_paid=fee,
            reason=reason,
        )
        if not moved:
            return False
        await versions.settle(s, intent.id, receipt.tx_hash)
        owner = deps.effects.of(intent.kind)
        if reason is None:
            await owner.on_final(s, intent, receipt)
        else:
            await owner.on_failed(s, intent, reason, receipt)
        await _post_gas(s, intent, receipt, fee)
        await _log(s, deps, intent, receipt, fee, reason)
    return True


def _end(row: IntentRow, receipt: Receipt, known: list[Version]) -> tuple[IntentState, str | None]:
    """What the mined version means, and why nothing was paid, if nothing was."""
    mined = next(v for v in known if v.tx_hash == receipt.tx_hash)
    if mined.purpose is Purpose.CANCEL:
        return IntentState.CANCELLED, row.cancel_reason or "cancelled"
    if receipt.status == 1:
        return IntentState.FINAL, None
    return IntentState.FAILED, "reverted on chain"


def payer_code(intent: Intent) -> str:
    """The account that pays the gas: an operational wallet, or the deposit address itself."""
    role = ROLES.get(intent.sender_path)
    if role is None:
        return chart.deposit(intent.chain_id, intent.sender)
    return chart.wallet(role, intent.chain_id)


async def _deposit_account(s: WriteSession, intent: Intent) -> AccountId:
    return await accounts.ensure(
        s,
        intent.tenant_id,
        chart.deposit(intent.chain_id, intent.sender),
        native_asset(intent.chain_id),
        "asset",
        location=chart.location("native", intent.chain_id, None, intent.sender),
        may_go_negative=True,
    )


async def _post_gas(s: WriteSession, intent: Intent, receipt: Receipt, fee: int) -> None:
    if fee == 0:
        return
    asset = native_asset(intent.chain_id)
    expense = await accounts.ensure(s, intent.tenant_id, chart.EXPENSE_GAS, asset, "expense")
    payer = await accounts.find(s, intent.tenant_id, payer_code(intent), asset)
    if payer is None and payer_code(intent).startswith(chart.DEPOSIT_PREFIX):
        # It burnt coin that came and is not credited yet: then this is made up for by the credit.
        payer = await accounts.get(s, await _deposit_account(s, intent))
    known = fee
    if payer is None:
        known = 0
    elif not payer.may_go_negative:
        known = min(fee, max(0, balances.balance_of(payer).available))
    # Ether that the ledger never saw arrive (a contract sent it, or it was there before us) paid
    # the rest: that is the operator's, and it must not keep a payment from being settled.
    operator = await accounts.ensure(s, intent.tenant_id, chart.OPERATOR_EQUITY, asset, "equity")
    parts = [(payer.id if payer else operator, known), (operator, fee - known)]
    await post_or_raise(
        s,
        [
            Transfer(
                id=TransferId(new_uuid7()),
                tenant_id=intent.tenant_id,
                debit=expense,
                credit=account,
                amount=amount,
                code="gas.paid",
                event_at=from_timestamp(receipt.block.timestamp),
                chain_id=intent.chain_id,
                block_number=receipt.block.number,
                reference=format_id("intent", intent.id),
            )
            for account, amount in parts
            if amount
        ],
    )


async def _log(
    s: WriteSession,
    deps: SettlementDeps,
    intent: Intent,
    receipt: Receipt,
    fee: int,
    reason: str | None,
) -> None:
    data: dict[str, Json] = {
        "intent": format_id("intent", intent.id),
        "chain_id": str(intent.chain_id),
        "tx_hash": receipt.tx_hash,
        "block_number": str(receipt.block.number),
        "block_hash": receipt.block.hash,
        "fee_wei": str(fee),
    }
    if reason is None:
        data["gas_used"] = str(receipt.gas_used)
        await log.append(s, intent.tenant_id, "transfer.final", data, at=deps.clock.now())
    else:
        data["reason"] = reason
        await log.append(s, intent.tenant_id, "transfer.failed", data, at=deps.clock.now())

"""Asking for a batch of payouts: hold, intent and decision in one commit, all of it or nothing."""

import re
from dataclasses import dataclass
from datetime import datetime

from chains.evm.contracts import payouts
from custody.audit import log
from custody.billing import plans
from custody.core.canonical import Json
from custody.core.db import WriteSession
from custody.core.errors import InsufficientFunds, InvalidInput, NotFound, Refused
from custody.core.ids import (
    BatchId,
    CustomerId,
    IntentId,
    TenantId,
    TransferId,
    format_id,
    new_uuid7,
)
from custody.core.intents import Intent, IntentKind, Payout
from custody.core.money import AssetId
from custody.ledger import accounts, balances, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.policy import policies
from custody.settlement import intents
from custody.withdrawals.batches import rows
from custody.withdrawals.batches.charges import BatchCharges, charges_up
from custody.withdrawals.batches.rows import Batch, Item
from custody.withdrawals.batches.states import PayoutState, State
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.request import GAS_PRICE_MAX_WEI, check_destination

BATCH_MAX = 200
GAS_BASE = 300_000
GAS_EACH_TOKEN = 60_000
"""A payment to a new holder of USDC costs 28,700. At the last one the contract still asks for what
it gives to each (200,000 and some), which is in the base."""
GAS_EACH_NATIVE = 75_000
"""An account that never had ether, and a recipient that burns all the gas that it gets."""

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")


@dataclass(frozen=True, slots=True)
class BatchInput:
    """`payouts` are what each recipient gets, base units; fees come on top.

    `gross_max` bounds what is held for all of it, fees included; None: whatever it costs.
    """

    tenant_id: TenantId
    customer_id: CustomerId
    chain_id: int
    asset_id: AssetId
    payouts: tuple[Payout, ...]
    gross_max: int | None
    initiator: str


async def request(
    s: WriteSession, deps: WithdrawalDeps, asked: BatchInput, *, at: datetime
) -> Batch:
    """Hold the gross, store the intent with its decision, record both.

    Raises InvalidInput, Refused, NotFound or InsufficientFunds; then nothing has changed once the
    caller's transaction rolls back.
    """
    await _check(s, deps, asked)
    plan = await plans.of_customer(s, deps.fees, asked.tenant_id, asked.customer_id, asked.asset_id)
    charged = charges_up(plan.rate, [p.amount for p in asked.payouts])
    if asked.gross_max is not None and charged.gross > asked.gross_max:
        raise Refused("gross_max", f"is below what the batch costs, {charged.gross}")
    batch_id, hold_id = BatchId(new_uuid7()), TransferId(new_uuid7())
    await _hold(s, asked, charged.gross, batch_id, hold_id, at)
    intent = await _intent(s, deps, asked, charged.net, batch_id)
    await intents.create(s, intent, at=at, hold_back=True)
    batch = Batch(
        id=batch_id,
        tenant_id=asked.tenant_id,
        customer_id=asked.customer_id,
        chain_id=asked.chain_id,
        asset_id=asked.asset_id,
        gross=charged.gross,
        network_fee=charged.network_fee,
        service_fee=charged.service_fee,
        net=charged.net,
        state=State.REQUESTED,
        reason=None,
        intent_id=intent.id,
        hold_id=hold_id,
        payout_hold_id=None,
        allowance_intent_id=None,
        initiator=asked.initiator,
        fee_plan=plan.name,
        fee_plan_version=plan.version,
        created_at=at,
    )
    await rows.insert(s, batch, _items(asked, charged))
    await _log(s, batch, asked, at)
    return batch


async def _check(s: WriteSession, deps: WithdrawalDeps, asked: BatchInput) -> None:
    """In this order: chain, how many, then of each payout address, whose, amount, reference."""
    asset = deps.registry.asset(asked.asset_id)
    if asset.chain_id != asked.chain_id:
        raise InvalidInput("chain_id", f"must be the asset's chain, {asset.chain_id}")
    if not 0 < len(asked.payouts) <= BATCH_MAX:
        raise InvalidInput("payouts", f"must be 1 to {BATCH_MAX}")
    tokens = {a.address for a in deps.registry.assets.values()}
    seen: set[str] = set()
    for number, payout in enumerate(asked.payouts):
        field = f"payouts.{number}"
        check_destination(payout.recipient, f"{field}.destination")
        if await deps.is_ours(s, payout.recipient):
            raise Refused(
                f"{field}.destination", "is an address of this service: use an internal transfer"
            )
        if payout.recipient in tokens:
            raise Refused(
                f"{field}.destination", "is a token's contract: what is sent there is lost"
            )
        if not 0 < payout.amount <= payouts.AMOUNT_MAX:
            raise InvalidInput(f"{field}.amount", f"must be 1 to {payouts.AMOUNT_MAX} in a batch")
        if not _REFERENCE.fullmatch(payout.reference):
            raise InvalidInput(
                f"{field}.reference", "must be 1 to 64 of letters, digits and . _ : / -"
            )
        if payout.reference in seen:
            raise InvalidInput(f"{field}.reference", "must differ from the others of the batch")
        seen.add(payout.reference)


async def _hold(
    s: WriteSession,
    asked: BatchInput,
    gross: int,
    batch_id: BatchId,
    hold_id: TransferId,
    at: datetime,
) -> None:
    """One hold on the holder's balance for all of it."""
    code = chart.customer(asked.customer_id)
    account = await accounts.find(s, asked.tenant_id, code, asked.asset_id)
    available = 0 if account is None else balances.balance_of(account).available
    if account is None or available < gross:
        raise InsufficientFunds(
            "payouts", f"cost {gross}, which exceeds the available balance of {available}"
        )
    hold = Transfer(
        id=hold_id,
        tenant_id=asked.tenant_id,
        debit=account.id,
        credit=await accounts.in_flight(s, asked.tenant_id, asked.chain_id, asked.asset_id),
        amount=gross,
        kind="pending",
        code="batch.hold",
        event_at=at,
        reference=format_id("batch", batch_id),
    )
    await post_or_raise(s, [hold])


async def _intent(
    s: WriteSession, deps: WithdrawalDeps, asked: BatchInput, net: int, batch_id: BatchId
) -> Intent:
    """The call's batch id is the intent's own, so the chain itself refuses to pay it twice."""
    payer = await places.place(s, asked.tenant_id, asked.chain_id, places.PAYOUT)
    contract = await _contract(s, asked)
    token = deps.registry.asset(asked.asset_id).address
    policy = await policies.current(s, asked.tenant_id)
    if token and not policy.has_way(IntentKind.PAYOUT_ALLOWANCE, asked.asset_id):
        raise Refused("asset", "no rule lets the batch contract fetch it: pay one by one")
    id_ = IntentId(new_uuid7())
    words = [payouts.Payout(p.recipient, p.amount) for p in asked.payouts]
    if token is None:
        data, each = payouts.encode_pay_native(id_.int, words), GAS_EACH_NATIVE
    else:
        data, each = payouts.encode_pay_token(token, id_.int, words), GAS_EACH_TOKEN
    gas = GAS_BASE + each * len(words)
    return Intent(
        id=id_,
        tenant_id=asked.tenant_id,
        kind=IntentKind.PAYOUT_BATCH,
        chain_id=asked.chain_id,
        sender=payer.address,
        sender_path=str(payer.path),
        to=contract,
        value=net if token is None else 0,
        data="0x" + data.hex(),
        asset_id=asked.asset_id,
        amount=net,
        beneficiary=contract,
        gas_limit=gas,
        fee_max_wei=gas * GAS_PRICE_MAX_WEI,
        reference=format_id("batch", batch_id),
        initiator=format_id("customer", asked.customer_id),
        payouts=asked.payouts,
    )


async def _contract(s: WriteSession, asked: BatchInput) -> str:
    try:
        return (await places.place(s, asked.tenant_id, asked.chain_id, places.PAYOUTS)).address
    except NotFound:
        raise Refused("chain_id", "has no batch contract: pay one by one") from None


def _items(asked: BatchInput, charged: BatchCharges) -> list[Item]:
    both = zip(asked.payouts, charged.service_fees, strict=True)
    return [
        Item(number, p.recipient, p.amount, fee, p.reference, PayoutState.OPEN)
        for number, (p, fee) in enumerate(both)
    ]


async def _log(s: WriteSession, batch: Batch, asked: BatchInput, at: datetime) -> None:
    """The payouts themselves are in the intent's body, which is in the log."""
    data: dict[str, Json] = {
        "batch": format_id("batch", batch.id),
        "customer": format_id("customer", batch.customer_id),
        "asset": batch.asset_id,
        "chain_id": str(batch.chain_id),
        "gross": str(batch.gross),
        "network_fee": str(batch.network_fee),
        "fee": str(batch.service_fee),
        "net": str(batch.net),
        "payouts": str(len(asked.payouts)),
        "intent": format_id("intent", batch.intent_id),
        "fee_plan": batch.fee_plan,
        "fee_plan_version": str(batch.fee_plan_version),
    }
    await log.append(s, batch.tenant_id, "batch.requested", data, at=at)

"""From approved to released: the payout wallet holds the sum, and the contract may fetch it.

An allowance is set, not added to, so one batch of a token at a time is between its allowance and
its end; the others wait. The native coin needs none.
"""

from chains.evm.contracts import erc20
from custody.core.db import WriteSession
from custody.core.ids import AccountId, IntentId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.ledger import accounts, balances
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.settlement import intents, restored
from custody.settlement.states import IntentState
from custody.withdrawals import liquidity, owing
from custody.withdrawals.batches import rows
from custody.withdrawals.batches.rows import Batch
from custody.withdrawals.batches.states import State, move
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.request import GAS_PRICE_MAX_WEI

GAS_ALLOWANCE = 120_000


async def advance(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    """Take the payout wallet's money for this batch, or see to it that it comes."""
    stopped = await rows.stopped(s, b)
    if stopped is not None:
        return await _wait(s, deps, b, stopped)
    paid = [item.destination for item in await rows.items(s, b.id)]
    lost = await restored.repeated(s, b.tenant_id, b.asset_id, paid)
    if lost is not None:
        return await _wait(s, deps, b, lost)
    if await owing.owes(s, b.tenant_id, b.customer_id, b.asset_id):
        return await _wait(s, deps, b, owing.REASON)
    token = deps.registry.asset(b.asset_id).address
    if token is not None and await _allowance_in_use(s, b):
        return await _wait(s, deps, b, "another batch of this token is being paid")
    wallet = await liquidity.wallet_of(s, b, places.PAYOUT, token)
    # A wallet that pays in the chain's own coin needs the gas beside the amount.
    gas = (await intents.get(s, b.tenant_id, b.intent_id)).intent.fee_max_wei if not token else 0
    lacking = b.net + gas - (await balances.balance(s, wallet)).available
    if lacking > 0:
        filling = await liquidity.fill(s, deps, b, lacking, token)
        reason = "the payout wallet is being filled" if filling else "the treasury lacks funds"
        return await _wait(s, deps, b, reason)
    await _reserve(s, deps, b, wallet)
    if token is None:
        return await release(s, deps, b)
    return await _allow(s, deps, b, token)


async def release(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> bool:
    """Hand the intent to settlement; False where it is not approved any more."""
    if not await intents.release(s, b.intent_id):
        return False
    return await move(s, deps.clock, b.tenant_id, b.id, b.state, State.RELEASED)


async def _wait(s: WriteSession, deps: WithdrawalDeps, b: Batch, reason: str) -> bool:
    if b.state is State.AWAITING_LIQUIDITY:
        await rows.tell(s, b, reason)
        return False
    new = State.AWAITING_LIQUIDITY
    return await move(s, deps.clock, b.tenant_id, b.id, b.state, new, reason)


async def _allowance_in_use(s: WriteSession, b: Batch) -> bool:
    """The index of the table refuses a second one; asking first is for the reason's sake."""
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM payout_batches WHERE tenant_id = :tenant"
            " AND asset_id = :asset AND id <> :id AND allowance_intent_id IS NOT NULL AND state"
            " NOT IN ('settled', 'cancelled', 'expired', 'refused', 'failed'))",
            {"tenant": b.tenant_id, "asset": b.asset_id, "id": b.id},
        )
    )


async def _reserve(s: WriteSession, deps: WithdrawalDeps, b: Batch, wallet: AccountId) -> None:
    hold_id = TransferId(new_uuid7())
    hold = Transfer(
        id=hold_id,
        tenant_id=b.tenant_id,
        debit=await accounts.in_flight(s, b.tenant_id, b.chain_id, b.asset_id),
        credit=wallet,
        amount=b.net,
        kind="pending",
        code="batch.payout",
        event_at=deps.clock.now(),
        reference=format_id("batch", b.id),
    )
    await post_or_raise(s, [hold])
    await s.execute(
        "UPDATE payout_batches SET payout_hold_id = :hold WHERE id = :id",
        {"hold": hold_id, "id": b.id},
    )


async def _allow(s: WriteSession, deps: WithdrawalDeps, b: Batch, token: str) -> bool:
    """Ask for an allowance of exactly the sum; the batch goes on when it is final."""
    payer = await places.place(s, b.tenant_id, b.chain_id, places.PAYOUT)
    contract = await places.place(s, b.tenant_id, b.chain_id, places.PAYOUTS)
    intent = Intent(
        id=IntentId(new_uuid7()),
        tenant_id=b.tenant_id,
        kind=IntentKind.PAYOUT_ALLOWANCE,
        chain_id=b.chain_id,
        sender=payer.address,
        sender_path=str(payer.path),
        to=token,
        value=0,
        data="0x" + erc20.erc20_approve(contract.address, b.net).hex(),
        asset_id=b.asset_id,
        amount=b.net,
        beneficiary=contract.address,
        gas_limit=GAS_ALLOWANCE,
        fee_max_wei=GAS_ALLOWANCE * GAS_PRICE_MAX_WEI,
        reference=format_id("batch", b.id),
    )
    await intents.create(s, intent, at=deps.clock.now())
    await s.execute(
        "UPDATE payout_batches SET allowance_intent_id = :intent WHERE id = :id",
        {"intent": intent.id, "id": b.id},
    )
    return await move(s, deps.clock, b.tenant_id, b.id, b.state, State.ALLOWING)


async def resume(s: WriteSession, deps: WithdrawalDeps, b: Batch) -> tuple[IntentState, bool]:
    """The allowance is there: what policy says by now, and whether the batch was released."""
    state = await intents.reconsider(
        s, b.tenant_id, b.intent_id, at=deps.clock.now(), hold_back=True
    )
    if state is not IntentState.APPROVED:
        return state, False
    return state, await release(s, deps, b)

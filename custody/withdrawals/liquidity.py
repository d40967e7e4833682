"""From approved to released: the payout wallet must hold what is to be paid.

Pooled money is fetched by the router (redeem.py); the payout wallet is filled from the treasury,
one fill at a time per asset, with exactly what the waiting withdrawals lack.
"""

from datetime import datetime
from typing import Protocol

from chains.evm.contracts import erc20
from chains.types import Receipt
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken, NotFound
from custody.core.ids import AccountId, IntentId, TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId
from custody.ledger import accounts, balances, chart, holds
from custody.ledger.posting import Transfer, post_hold, post_or_raise
from custody.ledger.posting import void_hold as void
from custody.parties import places
from custody.settlement import intents
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.request import GAS_NATIVE, GAS_PRICE_MAX_WEI, GAS_TOKEN
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State, move


class Wanted(Protocol):
    """Which wallet of ours (its role in `payer`) is to hold which asset."""

    @property
    def tenant_id(self) -> TenantId: ...
    @property
    def chain_id(self) -> int: ...
    @property
    def asset_id(self) -> AssetId: ...
    @property
    def payer(self) -> str: ...


async def advance(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """Release the withdrawal if its money is there, else see to it that it comes."""
    if w.pool_amount and not w.redeemed:
        return await _wait(s, deps, w, "pooled funds are being recalled")
    token = deps.registry.asset(w.asset_id).address
    wallet = await wallet_of(s, w, w.payer, token)
    # A wallet that pays in the chain's own coin needs the gas beside the amount.
    own_gas = token is None and w.payer == places.PAYOUT
    gas = GAS_NATIVE * GAS_PRICE_MAX_WEI if own_gas else 0
    lacking = w.net + gas - (await balances.balance(s, wallet)).available
    if lacking > 0:
        filling = await fill(s, deps, w, lacking, token)
        holder = "the Safe" if w.payer == places.SAFE else "the payout wallet"
        reason = f"{holder} is being filled" if filling else "the treasury lacks funds"
        return await _wait(s, deps, w, reason)
    return await _release(s, deps, w, wallet)


async def _wait(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, reason: str) -> bool:
    if w.state is State.AWAITING_LIQUIDITY:
        return False
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.AWAITING_LIQUIDITY, reason)


async def wallet_of(s: WriteSession, w: Wanted, role: str, token: str | None) -> AccountId:
    """The ledger's account of one of our wallets, in the asset that is due."""
    holder = await places.place(s, w.tenant_id, w.chain_id, role)
    return await accounts.ensure(
        s,
        w.tenant_id,
        chart.wallet(role, w.chain_id),
        w.asset_id,
        "asset",
        location={
            "chain_id": w.chain_id,
            "token": token,
            "holder": holder.address,
            "kind": "native" if token is None else "erc20",
        },
    )


async def catch_up(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal) -> bool:
    """Its payment was made before this database was restored: reserve for it, ask nobody again.

    It waits while the wallet's account lacks the money, whose fill comes back, too.
    """
    wallet = await wallet_of(s, w, w.payer, deps.registry.asset(w.asset_id).address)
    recalling = bool(w.pool_amount) and not w.redeemed
    if recalling or (await balances.balance(s, wallet)).available < w.net:
        return False
    await _reserve(s, deps, w, wallet)
    why = "its payment was known to the signer"
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.RELEASED, why)


async def _release(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, wallet: AccountId) -> bool:
    """Reserve the net in the payout wallet and hand the intent to settlement, in one commit."""
    await _reserve(s, deps, w, wallet)
    if w.payer == places.PAYOUT and not await intents.release(s, w.intent_id):
        raise Broken(f"withdrawal {w.id} is approved, its intent is not")
    return await move(s, deps.clock, w.tenant_id, w.id, w.state, State.RELEASED)


async def _reserve(s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, wallet: AccountId) -> None:
    """A hold of the net in the wallet, which the journal of the payment posts."""
    hold_id = TransferId(new_uuid7())
    await post_or_raise(
        s,
        [
            Transfer(
                id=hold_id,
                tenant_id=w.tenant_id,
                debit=await accounts.in_flight(s, w.tenant_id, w.chain_id, w.asset_id),
                credit=wallet,
                amount=w.net,
                kind="pending",
                code="withdrawal.payout",
                event_at=deps.clock.now(),
                reference=format_id("withdrawal", w.id),
            )
        ],
    )
    await s.execute(
        "UPDATE withdrawals SET payout_hold_id = :hold WHERE id = :id",
        {"hold": hold_id, "id": w.id},
    )


async def void_payout_hold(s: WriteSession, w: Withdrawal, at: datetime) -> None:
    if w.payout_hold_id is not None:
        await void_hold(s, w, TransferId(w.payout_hold_id), at)


async def void_hold(s: WriteSession, w: Withdrawal, hold_id: TransferId, at: datetime) -> None:
    await post_or_raise(
        s,
        [
            void(
                TransferId(new_uuid7()),
                TenantId(w.tenant_id),
                hold_id,
                "withdrawal.payout.voided",
                event_at=at,
                reference=format_id("withdrawal", w.id),
            )
        ],
    )
    await s.execute("UPDATE withdrawals SET payout_hold_id = NULL WHERE id = :id", {"id": w.id})


async def fill(
    s: WriteSession, deps: WithdrawalDeps, w: Wanted, amount: int, token: str | None
) -> bool:
    """Start a fill of the wallet that pays; False where the treasury has not got it."""
    cold = w.payer == places.SAFE
    kind = IntentKind.COLD_STORE if cold else IntentKind.PAYOUT_FILL
    reference = store_reference(w.asset_id) if cold else fill_reference(w.asset_id)
    if await intents.is_under_way(s, w.tenant_id, kind.value, reference):
        return True
    treasury_account = await wallet_of(s, w, places.TREASURY, token)
    gas = GAS_NATIVE if token is None else GAS_TOKEN
    fee_max = gas * GAS_PRICE_MAX_WEI
    needed = amount + (fee_max if token is None else 0)
    if (await balances.balance(s, treasury_account)).available < needed:
        return False
    treasury = await places.place(s, w.tenant_id, w.chain_id, places.TREASURY)
    payout = await places.place(s, w.tenant_id, w.chain_id, w.payer)
    intent = Intent(
        id=IntentId(new_uuid7()),
        tenant_id=TenantId(w.tenant_id),
        kind=kind,
        chain_id=w.chain_id,
        sender=treasury.address,
        sender_path=str(treasury.path),
        to=payout.address if token is None else token,
        value=amount if token is None else 0,
        data="0x" if token is None else "0x" + _transfer(payout.address, amount),
        asset_id=w.asset_id,
        amount=amount,
        beneficiary=payout.address,
        gas_limit=gas,
        fee_max_wei=fee_max,
        reference=reference,
    )
    await _hold_fill(s, deps, w, intent, treasury_account, token)
    await intents.create(s, intent, at=deps.clock.now())
    return True


def _transfer(to: str, amount: int) -> str:
    return erc20.erc20_transfer(to, amount).hex()


def fill_reference(asset_id: AssetId) -> str:
    return f"fill:{asset_id}"


def store_reference(asset_id: AssetId) -> str:
    return f"store:{asset_id}"


async def _hold_fill(
    s: WriteSession,
    deps: WithdrawalDeps,
    w: Wanted,
    intent: Intent,
    treasury: AccountId,
    token: str | None,
) -> None:
    """Reserve the amount in the treasury; the hold carries the intent's own id."""
    await post_or_raise(
        s,
        [
            Transfer(
                id=TransferId(intent.id),
                tenant_id=w.tenant_id,
                debit=await wallet_of(s, w, w.payer, token),
                credit=treasury,
                amount=intent.amount,
                kind="pending",
                code="payout.fill",
                event_at=deps.clock.now(),
                reference=format_id("intent", intent.id),
            )
        ],
    )


async def _is_held(s: WriteSession, intent: Intent) -> bool:
    """Not after a restore that lost the fill: its intent came back from the signer, alone."""
    try:
        await holds.get(s, intent.tenant_id, TransferId(intent.id))
    except NotFound:
        return False
    return True


async def _hold_again(s: WriteSession, intent: Intent, at: datetime) -> None:
    """The hold that was lost, by what the intent says; it ends in the same commit."""
    native = intent.value > 0
    role = places.SAFE if intent.kind is IntentKind.COLD_STORE else places.PAYOUT
    where = {
        "chain_id": intent.chain_id,
        "token": None if native else intent.to,
        "holder": intent.beneficiary,
        "kind": "native" if native else "erc20",
    }
    code, asset = chart.wallet(role, intent.chain_id), intent.asset_id
    treasury = chart.treasury(intent.chain_id)
    await post_or_raise(
        s,
        [
            Transfer(
                id=TransferId(intent.id),
                tenant_id=intent.tenant_id,
                debit=await accounts.ensure(
                    s, intent.tenant_id, code, asset, "asset", location=where
                ),
                credit=await accounts.by_code(s, intent.tenant_id, treasury, asset),
                amount=intent.amount,
                kind="pending",
                code="payout.fill",
                event_at=at,
                reference=format_id("intent", intent.id),
            )
        ],
    )


class FillEffects:
    """asset:payout or asset:safe <- asset:treasury: the hold with the intent's id ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        if not await _is_held(s, intent):
            await _hold_again(s, intent, self._clock.now())
        await post_or_raise(
            s,
            [
                post_hold(
                    TransferId(new_uuid7()),
                    intent.tenant_id,
                    TransferId(intent.id),
                    intent.amount,
                    "payout.filled",
                    event_at=from_timestamp(receipt.block.timestamp),
                    chain_id=intent.chain_id,
                    block_number=receipt.block.number,
                    reference=format_id("intent", intent.id),
                )
            ],
        )

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        if not await _is_held(s, intent):
            return
        await post_or_raise(
            s,
            [
                void(
                    TransferId(new_uuid7()),
                    intent.tenant_id,
                    TransferId(intent.id),
                    "payout.fill.voided",
                    event_at=self._clock.now(),
                    reference=format_id("intent", intent.id),
                )
            ],
        )

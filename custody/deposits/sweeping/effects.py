"""What a final sweep means for the ledger: by what really moved, address by address.

A token's own Transfer events say it. What left an address is credited to it; what of that came to
the treasury is debited there; what a token kept on the way is an expense of ours, since customers
were credited with what had arrived.
"""

from collections.abc import Sequence

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, topic_address
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Log, Receipt
from custody.core.clock import Clock, from_timestamp
from custody.core.db import WriteSession
from custody.core.ids import AccountId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import native_asset
from custody.deposits.sweeping import rows
from custody.ledger import accounts, balances, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places

Moves = list[tuple[str, str, int]]
"""(from, to, base units), EIP-55."""


def moves(logs: Sequence[Log], token: str) -> Moves:
    """What a token says it moved in one transaction; another token's word counts for nothing."""
    found: Moves = []
    for log in logs:
        if log.address != token or len(log.topics) != 3 or log.topics[0] != TRANSFER_EVENT:
            continue
        sender, recipient = (checksum(topic_address(t)) for t in log.topics[1:])
        found.append(
            (sender, recipient, decode_answer(("uint256",), bytes.fromhex(log.data[2:]))[0])
        )
    return found


def left(made: Moves, wallet: str) -> int:
    """Base units that left an address, to anybody."""
    return sum(amount for sender, recipient, amount in made if sender == wallet != recipient)


def arrived(made: Moves, wallet: str, treasury: str) -> int:
    """Base units of an address that came to the treasury."""
    return sum(amount for sender, to, amount in made if (sender, to) == (wallet, treasury))


def wallets_of(intent: Intent) -> list[str]:
    """The deposit addresses that an intent takes from."""
    if intent.kind is IntentKind.SWEEP_BATCH and intent.sweeps is not None:
        return [w.wallet for w in intent.sweeps.wallets]
    return [intent.reference]


def token_of(intent: Intent) -> str:
    """Requires the asset to be a token."""
    return checksum(intent.asset_id.rsplit(":", 1)[1])


class SweepEffects:
    """asset:treasury <- asset:deposit, and the mark that the chain is still to be looked at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        posted = await self._transfers(s, intent, receipt)
        if posted:
            await post_or_raise(s, posted)
        await rows.finish(s, intent, at=self._clock.now())

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """Nothing was held: the money is still where it was and the next step plans again."""
        await rows.fail(s, intent, reason, at=self._clock.now())

    async def _transfers(self, s: WriteSession, intent: Intent, receipt: Receipt) -> list[Transfer]:
        if intent.kind is IntentKind.SWEEP_NATIVE:
            if intent.value == 0:
                return []
            source = await accounts.by_code(
                s,
                intent.tenant_id,
                chart.deposit(intent.chain_id, intent.reference),
                intent.asset_id,
            )
            treasury = await _treasury(s, intent, None)
            return [_transfer(intent, receipt, treasury, source, intent.value)]
        return await _token_transfers(s, intent, receipt)


async def _token_transfers(s: WriteSession, intent: Intent, receipt: Receipt) -> list[Transfer]:
    made = moves(receipt.logs, token_of(intent))
    posted: list[Transfer] = []
    for wallet in wallets_of(intent):
        out, came = left(made, wallet), arrived(made, wallet, intent.beneficiary)
        if out == 0:
            continue
        code = chart.deposit(intent.chain_id, wallet)
        source = await accounts.by_code(s, intent.tenant_id, code, intent.asset_id)
        if came:
            treasury = await _treasury(s, intent, token_of(intent))
            posted.append(_transfer(intent, receipt, treasury, source, came))
        if out > came:
            kept = await _fees(s, intent)
            posted.append(_transfer(intent, receipt, kept, source, out - came, fee=True))
    # A token may also take its fee from the treasury, after it was paid in full.
    taken = left(made, intent.beneficiary)
    if taken and posted:
        treasury, kept = await _treasury(s, intent, token_of(intent)), await _fees(s, intent)
        posted.append(_transfer(intent, receipt, kept, treasury, taken, fee=True))
    return posted


async def _fees(s: WriteSession, intent: Intent) -> AccountId:
    code = chart.EXPENSE_TRANSFER_FEES
    return await accounts.ensure(s, intent.tenant_id, code, intent.asset_id, "expense")


async def _treasury(s: WriteSession, intent: Intent, token: str | None) -> AccountId:
    kind = "native" if token is None else "erc20"
    return await accounts.ensure(
        s,
        intent.tenant_id,
        chart.wallet(places.TREASURY, intent.chain_id),
        intent.asset_id,
        "asset",
        location=chart.location(kind, intent.chain_id, token, intent.beneficiary),
    )


class GasEffects:
    """asset:deposit <- asset:gas-wallet, in the chain's coin: gas for an address's own transfer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_final(self, s: WriteSession, intent: Intent, receipt: Receipt) -> None:
        asset = native_asset(intent.chain_id)
        there = await accounts.ensure(
            s,
            intent.tenant_id,
            chart.deposit(intent.chain_id, intent.to),
            asset,
            "asset",
            location=chart.location("native", intent.chain_id, None, intent.to),
            may_go_negative=True,
        )
        gas = chart.gas(intent.chain_id)
        payer = await accounts.find(s, intent.tenant_id, gas, asset)
        known = 0
        if payer is not None:
            known = min(intent.value, max(0, balances.balance_of(payer).available))
        # What the ledger never saw arrive in the gas wallet is the operator's, as for gas itself.
        operator = await _operator(s, intent)
        parts = [(payer.id if payer else operator, known), (operator, intent.value - known)]
        await post_or_raise(
            s,
            [
                _transfer(intent, receipt, there, a, amount, gas=True)
                for a, amount in parts
                if amount > 0
            ],
        )
        await rows.finish(s, intent, at=self._clock.now())

    async def on_failed(
        self, s: WriteSession, intent: Intent, reason: str, receipt: Receipt | None
    ) -> None:
        """The token is where it was; it is planned again."""
        await rows.fail(s, intent, reason, at=self._clock.now())


async def _operator(s: WriteSession, intent: Intent) -> AccountId:
    code, asset = chart.OPERATOR_EQUITY, native_asset(intent.chain_id)
    return await accounts.ensure(s, intent.tenant_id, code, asset, "equity")


def _transfer(
    intent: Intent,
    receipt: Receipt,
    debit: AccountId,
    credit: AccountId,
    amount: int,
    *,
    fee: bool = False,
    gas: bool = False,
) -> Transfer:
    return Transfer(
        id=TransferId(new_uuid7()),
        tenant_id=intent.tenant_id,
        debit=debit,
        credit=credit,
        amount=amount,
        code="deposit.gas" if gas else "deposit.transfer-fee" if fee else "deposit.swept",
        event_at=from_timestamp(receipt.block.timestamp),
        chain_id=intent.chain_id,
        block_number=receipt.block.number,
        reference=format_id("intent", intent.id),
    )

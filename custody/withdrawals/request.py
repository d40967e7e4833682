"""Asking for a withdrawal: quote, hold, intent and decision in one commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chains.evm.address import is_checksummed
from chains.evm.contracts import erc20
from custody.audit import log
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.ids import (
    CustomerId,
    IntentId,
    PoolId,
    QuoteId,
    TenantId,
    TransferId,
    WithdrawalId,
    format_id,
    new_uuid7,
)
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId, mul_div_up, share_asset
from custody.ledger import accounts, balances, chart, prices
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.parties.places import Place
from custody.policy import policies
from custody.settlement import intents
from custody.withdrawals import quote as quotes
from custody.withdrawals import rows
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.quote import Quote
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State

ZERO_ADDRESS = "0x" + "0" * 40
GAS_NATIVE = 60_000
GAS_TOKEN = 160_000
NOT_BEFORE_MAX = timedelta(days=31)
"""How far ahead a withdrawal may be scheduled; its gross is held all the while."""
GAS_PRICE_MAX_WEI = 200 * 10**9
"""Bounds what a payout may cost: the fee cap in the intent, which approvals bind."""

SHARE_MARGIN_BPS = 10
"""Shares held above today's price, so that a small loss until the redemption doesn't fail it."""


@dataclass(frozen=True, slots=True)
class RequestInput:
    """What the caller binds: it must be what the quote says. `amount` is gross, base units.

    With `pool_id`, what the available balance lacks is redeemed from that pool. Nothing is sent
    before `not_before`, nor while it may cost more than `network_fee_max` wei of the chain's coin.
    """

    tenant_id: TenantId
    customer_id: CustomerId
    quote_id: QuoteId
    chain_id: int
    asset_id: AssetId
    amount: int
    destination: str
    pool_id: PoolId | None
    initiator: str
    not_before: datetime | None = None
    network_fee_max: int | None = None


@dataclass(frozen=True, slots=True)
class _Funding:
    """Where the gross comes from: a hold on the balance, a hold on shares, or both."""

    balance: int
    pool: int
    shares: int


async def request(
    s: WriteSession, deps: WithdrawalDeps, asked: RequestInput, *, at: datetime
) -> Withdrawal:
    """Hold the gross, store the intent with its decision, record both.

    Raises NotFound, InvalidInput, Refused, InsufficientFunds or Conflict; then nothing has
    changed once the caller's transaction rolls back.
    """
    quote = await quotes.get(s, asked.tenant_id, asked.customer_id, asked.quote_id, lock=True)
    await _check(s, deps, asked, quote, at)
    funding = await _funding(s, asked)
    withdrawal_id = WithdrawalId(new_uuid7())
    held = await _hold(s, asked, funding, withdrawal_id, at)
    payer = await _payer(s, asked, quote.net)
    intent = await _intent(s, deps, asked, quote, withdrawal_id, payer)
    await intents.create(s, intent, at=at, hold_back=True)
    await _insert(s, asked, quote, funding, held, withdrawal_id, intent.id, payer.role, at)
    await log.append(
        s,
        asked.tenant_id,
        "withdrawal.requested",
        {
            "withdrawal": format_id("withdrawal", withdrawal_id),
            "customer": format_id("customer", asked.customer_id),
            "asset": asked.asset_id,
            "gross": str(quote.gross),
            "network_fee": str(quote.network_fee),
            "fee": str(quote.service_fee),
            "net": str(quote.net),
            "destination": asked.destination,
            "chain_id": str(asked.chain_id),
            "quote": format_id("quote", quote.id),
            "fee_plan": quote.fee_plan,
            "fee_plan_version": str(quote.fee_plan_version),
            "not_before": None if asked.not_before is None else iso_us(asked.not_before),
            "network_fee_max": None
            if asked.network_fee_max is None
            else str(asked.network_fee_max),
        },
        at=at,
    )
    return await rows.get(s, asked.tenant_id, withdrawal_id)


async def _check(
    s: WriteSession, deps: WithdrawalDeps, asked: RequestInput, quote: Quote, at: datetime
) -> None:
    """In this order: wrong chain, address, own address, time, quote terms, quote age,
    quote use."""
    asset = deps.registry.asset(asked.asset_id)
    if asset.chain_id != asked.chain_id:
        raise InvalidInput("chain_id", f"must be the asset's chain, {asset.chain_id}")
    check_destination(asked.destination)
    if await deps.is_ours(s, asked.destination):
        raise Refused("destination", "is an address of this service: use an internal transfer")
    if asked.destination in {a.address for a in deps.registry.assets.values()}:
        raise Refused("destination", "is a token's contract: what is sent there is lost")
    if asked.not_before is not None:
        _check_time(asked.not_before, at)
    if (quote.asset_id, quote.gross) != (asked.asset_id, asked.amount):
        raise Refused("quote", "must be a quote for this asset and amount")
    if quote.expires_at <= at:
        raise Refused("quote", "must not have expired")
    if await s.scalar("SELECT id FROM withdrawals WHERE quote_id = :id", {"id": quote.id}):
        raise Conflict("this quote has been used", field="quote", rule="can be used once")


def _check_time(not_before: datetime, at: datetime) -> None:
    if not_before < at:
        raise InvalidInput("not_before", "must not be in the past")
    if not_before - at > NOT_BEFORE_MAX:
        raise InvalidInput("not_before", f"must be at most {NOT_BEFORE_MAX.days} days ahead")


def check_destination(address: str, field: str = "destination") -> None:
    """Requires an EIP-55 checksummed address that is not the zero address."""
    if not is_checksummed(address):
        raise InvalidInput(field, "must be an address with a right EIP-55 checksum")
    if address == ZERO_ADDRESS:
        raise InvalidInput(field, "must not be the zero address")


async def _funding(s: WriteSession, asked: RequestInput) -> _Funding:
    code = chart.customer(asked.customer_id)
    account = await accounts.find(s, asked.tenant_id, code, asked.asset_id)
    available = 0 if account is None else balances.balance_of(account).available
    if available >= asked.amount:
        return _Funding(asked.amount, 0, 0)
    if asked.pool_id is None:
        raise InsufficientFunds(
            "amount", f"exceeds the available balance of {available} (holds counted)"
        )
    short = asked.amount - available
    price = await prices.latest_price(s, asked.tenant_id, asked.pool_id)
    if price is not None and (price.asset_id, price.chain_id) != (asked.asset_id, asked.chain_id):
        raise InvalidInput("pool", "must be a pool of the asset that is withdrawn")
    if price is None or price.total_shares == 0 or price.total_assets == 0:
        raise InsufficientFunds("amount", "exceeds the available balance; the pool holds nothing")
    exact = mul_div_up(short, price.total_shares, price.total_assets)
    shares_account = await accounts.find(s, asked.tenant_id, code, share_asset(asked.pool_id.hex))
    there = 0
    if shares_account is not None:
        there = balances.balance_of(shares_account).available
    if there < exact:
        raise InsufficientFunds(
            "amount", "exceeds the available balance and the pooled holding (holds counted)"
        )
    margin = mul_div_up(exact, SHARE_MARGIN_BPS, 10_000)
    return _Funding(available, short, min(there, exact + margin))


async def _hold(
    s: WriteSession,
    asked: RequestInput,
    funding: _Funding,
    withdrawal_id: WithdrawalId,
    at: datetime,
) -> tuple[TransferId | None, TransferId | None]:
    """(hold on the balance, hold on the shares); both or none."""
    printed, code = format_id("withdrawal", withdrawal_id), chart.customer(asked.customer_id)
    transfers: list[Transfer] = []
    on_balance = on_shares = None
    if funding.balance:
        on_balance = TransferId(new_uuid7())
        transfers.append(
            Transfer(
                id=on_balance,
                tenant_id=asked.tenant_id,
                debit=await accounts.by_code(s, asked.tenant_id, code, asked.asset_id),
                credit=await accounts.in_flight(s, asked.tenant_id, asked.chain_id, asked.asset_id),
                amount=funding.balance,
                kind="pending",
                code="withdrawal.hold",
                event_at=at,
                reference=printed,
            )
        )
    if asked.pool_id is not None and funding.shares:
        on_shares = TransferId(new_uuid7())
        shares = share_asset(asked.pool_id.hex)
        transfers.append(
            Transfer(
                id=on_shares,
                tenant_id=asked.tenant_id,
                debit=await accounts.by_code(s, asked.tenant_id, code, shares),
                credit=await accounts.by_code(
                    s, asked.tenant_id, chart.pool_shares(asked.pool_id), shares
                ),
                amount=funding.shares,
                kind="pending",
                code="pool.redeem",
                event_at=at,
                reference=printed,
            )
        )
    await post_or_raise(s, transfers)
    return on_balance, on_shares


async def _payer(s: WriteSession, asked: RequestInput, net: int) -> Place:
    """The payout wallet, or over the hot limit the treasury's Safe. Raises Refused without one."""
    policy = await policies.current(s, asked.tenant_id)
    if policy.is_hot(asked.asset_id, net):
        return await places.place(s, asked.tenant_id, asked.chain_id, places.PAYOUT)
    listed = policy.places.get(asked.chain_id)
    if listed is None or listed.safe is None:
        raise Refused("amount", "over hot limit without a Safe", "this chain has no Safe to pay it")
    safe = await places.place(s, asked.tenant_id, asked.chain_id, places.SAFE)
    if safe.address != listed.safe:
        raise Refused("amount", "over hot limit without a Safe", "the policy names another Safe")
    if not policy.has_way(IntentKind.PAYOUT_SAFE, asked.asset_id):
        raise Refused("amount", "over hot limit without a Safe", "no rule lets the Safe pay")
    if asked.network_fee_max is not None:
        # What the Safe costs is its execution's, an intent that nobody asked for with a maximum.
        raise Refused("network_fee_max", "cannot bound what the treasury's Safe pays")
    return safe


async def _intent(
    s: WriteSession,
    deps: WithdrawalDeps,
    asked: RequestInput,
    quote: Quote,
    withdrawal_id: WithdrawalId,
    payer: Place,
) -> Intent:
    """What people approve. Of a withdrawal that the Safe pays it is the call that the Safe is to
    make: it says so in `sender`, so no signer of ours ever signs it, whatever the policy."""
    token = deps.registry.asset(asked.asset_id).address
    gas = GAS_NATIVE if token is None else GAS_TOKEN
    data = (
        "0x" if token is None else "0x" + erc20.erc20_transfer(asked.destination, quote.net).hex()
    )
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=TenantId(asked.tenant_id),
        kind=IntentKind.PAYOUT,
        chain_id=asked.chain_id,
        sender=payer.address,
        sender_path=payer.path or "",
        to=asked.destination if token is None else token,
        value=quote.net if token is None else 0,
        data=data,
        asset_id=asked.asset_id,
        amount=quote.net,
        beneficiary=asked.destination,
        gas_limit=gas,
        fee_max_wei=fee_max_down(gas, asked.network_fee_max),
        reference=format_id("withdrawal", withdrawal_id),
        initiator=format_id("customer", asked.customer_id),
    )


def fee_max_down(gas: int, network_fee_max: int | None) -> int:
    """Wei that the transaction may cost: what we ever pay, or less where the holder says so."""
    ours = gas * GAS_PRICE_MAX_WEI
    return ours if network_fee_max is None else min(ours, network_fee_max)


async def _insert(
    s: WriteSession,
    asked: RequestInput,
    quote: Quote,
    funding: _Funding,
    held: tuple[TransferId | None, TransferId | None],
    withdrawal_id: WithdrawalId,
    intent_id: IntentId,
    payer: str,
    at: datetime,
) -> None:
    on_balance, on_shares = held
    await s.execute(
        f"INSERT INTO withdrawals ({rows.COLUMNS}) VALUES (:id, :tenant, :customer, :quote,"
        " :chain, :asset, :destination, :gross, :network_fee, :service_fee, :net, :pool,"
        " :pool_amount, :share_hold, false, :state, NULL, :intent, NULL, :initiator,"
        " :payer, :not_before, :network_fee_max, :at)",
        {
            "id": withdrawal_id,
            "tenant": asked.tenant_id,
            "customer": asked.customer_id,
            "quote": quote.id,
            "chain": asked.chain_id,
            "asset": asked.asset_id,
            "destination": asked.destination,
            "gross": quote.gross,
            "network_fee": quote.network_fee,
            "service_fee": quote.service_fee,
            "net": quote.net,
            "pool": asked.pool_id if funding.pool else None,
            "pool_amount": funding.pool,
            "share_hold": on_shares,
            "state": State.REQUESTED.value,
            "intent": intent_id,
            "initiator": asked.initiator,
            "payer": payer,
            "not_before": asked.not_before,
            "network_fee_max": asked.network_fee_max,
            "at": at,
        },
    )
    if on_balance is not None:
        await add_hold(s, withdrawal_id, on_balance, funding.balance)


async def add_hold(
    s: WriteSession, withdrawal_id: WithdrawalId, hold_id: UUID, amount: int
) -> None:
    await s.execute(
        "INSERT INTO withdrawal_holds (withdrawal_id, hold_id, amount)"
        " VALUES (:id, :hold, :amount)",
        {"id": withdrawal_id, "hold": hold_id, "amount": amount},
    )

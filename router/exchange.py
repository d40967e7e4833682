"""Legs at an exchange, after the guard has paid and before it is paid back.

The exchange's answers may be lost. A withdrawal carries our own id. Subscribe and redeem take
none, so the position is stored before we ask and compared before we ask again: one leg at a time
moves at a venue, and rewards are small beside a ticket. An exit's amount is what leaves the venue,
the exchange's fee included, so that there is always enough for both.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from chains.evm.calldata import topic_address
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.db import WriteSession
from custody.core.errors import Broken, Unavailable
from custody.core.isolation import each
from custody.ledger import chart
from custody.ledger.posting import Transfer, post_or_raise
from router import books, journals, legs
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.states import LegState
from router.venues.cefi.binance import to_units_up
from router.venues.cefi.port import Earn, EarnRefused
from router.venues.factory import earn

logger = logging.getLogger(__name__)

CREDIT_CODE = "exchange.credit"
WITHDRAW_CODE = "exchange.withdraw"
ARRIVE_CODE = "exchange.arrive"
LOSS_CODE = "exchange.loss"
REALISED_CODE = "yield.realised"
PATIENCE_S = 600
"""How long a redemption that has left the position may take to show in spot."""


class At:
    """One leg with all that its step needs."""

    def __init__(self, deps: RouterDeps, pool: Pool, row: VenueRow, leg: Leg) -> None:
        self.deps, self.pool, self.row, self.leg = deps, pool, row, leg
        self.earn: Earn = earn(deps, row)
        self.asset: str = row.config["asset"]
        self.product: str = row.config["product"]
        self.decimals = deps.registry.asset(pool.asset_id).decimals

    async def position(self) -> int:
        return await self.earn.position(self.asset, self.product, self.decimals)

    async def spot(self) -> int:
        return await self.earn.spot(self.asset, self.decimals)

    async def rested(self, seconds: int) -> bool:
        async with self.deps.db.read() as s:
            return await legs.rested(s, self.leg, seconds)

    async def advance(self, new: LegState, **columns: object) -> bool:
        async with self.deps.db.write() as s:
            return await legs.advance(s, self.leg, new, at=self.deps.clock.now(), **columns)


async def step(deps: RouterDeps) -> int:
    """One state further for every exchange leg that can; a broken one holds up no other."""
    return await each(logger, "exchange leg", await _work(deps), lambda leg: _advance(deps, leg))


async def _advance(deps: RouterDeps, leg: Leg) -> bool:
    async with deps.db.read() as s:
        pool = await books.pool(s, leg.tenant_id, leg.pool_id)
        row = await books.venue(s, leg.pool_id, leg.venue_id)
    return await STEPS[leg.state](At(deps, pool, row, leg))


async def _work(deps: RouterDeps) -> list[Leg]:
    """The oldest exchange leg of each venue that is in one of our states."""
    found: list[Leg] = []
    busy: set[tuple[UUID, str]] = set()
    async with deps.db.read() as s:
        ours = await s.all("SELECT tenant_id, id FROM venues WHERE kind = 'exchange'")
        exchanges = {(row.tenant_id, row.id) for row in ours}
        for leg in await legs.in_states(s, [*STEPS, LegState.EXECUTING]):
            key = (leg.tenant_id, leg.venue_id)
            if key not in exchanges or key in busy:
                continue
            if leg.state is LegState.PLANNED and leg.action is Action.ENTER:
                continue
            busy.add(key)
            if leg.state is not LegState.EXECUTING:
                found.append(leg)
    return found


async def _credited(at: At) -> bool:
    """released -> credited: asset:exchange <- asset:in-flight, once the exchange has it."""
    for credit in await at.earn.deposits(at.asset, at.decimals):
        if credit.tx_hash == at.leg.tx_hash and credit.credited:
            if credit.amount != at.leg.received:
                raise Broken(f"leg {at.leg.id}: exchange credits {credit.amount}")
            break
    else:
        return False
    now = at.deps.clock.now()
    async with at.deps.db.write() as s:
        if not await legs.advance(s, at.leg, LegState.CREDITED, at=now):
            return False
        there = await books.account(s, at.pool, books.venue_code(at.row))
        flying = await books.in_flight(s, at.pool)
        journal = journals.moved(
            at.pool, at.leg.id, "credited", there, flying, credit.amount, CREDIT_CODE, at=now,
            reference=at.leg.reference,
        )  # fmt: skip
        await post_or_raise(s, [journal])
    return True


async def _note_subscription(at: At) -> bool:
    """credited -> subscribing: remember the position before we ask."""
    return await at.advance(LegState.SUBSCRIBING, position_before=await at.position())


async def _subscribe(at: At) -> bool:
    """subscribing -> done, if it is there; else ask (again), and look the next time."""
    amount = at.leg.received or at.leg.amount
    if await at.position() >= (at.leg.position_before or 0) + amount:
        return await at.advance(LegState.DONE)
    if await at.spot() < amount:
        return False
    try:
        await at.earn.subscribe(at.product, amount, at.decimals)
    except EarnRefused as refusal:
        # The money stays in spot, earns nothing, counts as the venue's and leaves like the rest:
        # that beats a leg, and with it a venue, that never ends.
        logger.error("not subscribed", extra={"leg": at.leg.reference, "error": refusal})
        return await at.advance(LegState.DONE, reason=f"not subscribed: {refusal}"[:500])
    return False


async def _note_redemption(at: At) -> bool:
    """planned -> redeeming."""
    return await at.advance(LegState.REDEEMING, position_before=await at.position())


async def _redeem(at: At) -> bool:
    """redeeming -> redeemed, once spot holds the exit's amount; only what it lacks is redeemed.

    The position is read before spot, so that an order taken between the two is seen in one.
    """
    position, amount = await at.position(), at.leg.amount
    spot = await at.spot()
    if spot >= amount:
        return await at.advance(LegState.REDEEMED, order_id=at.leg.id.hex)
    if position < (at.leg.position_before or 0) and not await at.rested(PATIENCE_S):
        return False  # the order was taken and its money is not in spot yet
    if position + spot < amount:
        return await at.advance(LegState.FAILED, reason="the holding is smaller than the exit")
    await at.earn.redeem(at.product, amount - spot, at.decimals)
    return False


async def _note_withdrawal(at: At) -> bool:
    """redeemed -> withdrawing: from here on the order may exist."""
    if at.leg.attempt > 0 and not await at.rested(legs.RETRY_S):
        return False  # the last withdrawal has just failed
    if await _fee(at) >= at.leg.amount:
        return await at.advance(LegState.FAILED, reason="the fee is as large as the exit")
    return await at.advance(LegState.WITHDRAWING)


async def _fee(at: At) -> int:
    """What the exchange takes on top of a withdrawal: by its word, else as configured."""
    try:
        return await at.earn.withdrawal_fee(at.asset, at.row.config["network"], at.decimals)
    except EarnRefused:
        return to_units_up(at.row.config.get("withdraw_fee", "0"), at.decimals)


async def _withdraw(at: At) -> bool:
    """withdrawing -> arriving: asset:in-flight <- asset:exchange, once a transaction is named."""
    leg, order = at.leg, at.leg.order_id or at.leg.id.hex
    found = await at.earn.withdrawal(order, at.asset, at.decimals)
    if found is None:
        amount = leg.amount - await _fee(at)
        if amount <= 0:
            raise Unavailable(f"{leg.reference}: the fee has risen to the whole exit")
        await at.earn.withdraw(
            at.asset, at.row.config["network"], at.pool.guard, amount, at.decimals, order
        )
        return False
    if found.failed:
        logger.error("withdrawal failed", extra={"leg": leg.reference, "order": order})
        reason = f"withdrawal {order} failed at the exchange"
        return await at.advance(LegState.REDEEMED, order_id=leg.next_order_id, reason=reason)
    if not found.tx_hash:
        return False
    now = at.deps.clock.now()
    async with at.deps.db.write() as s:
        if not await legs.advance(s, leg, LegState.ARRIVING, at=now, tx_hash=found.tx_hash):
            return False
        there = await books.account(s, at.pool, books.venue_code(at.row))
        flying = await books.in_flight(s, at.pool)
        journal = journals.moved(
            at.pool, leg.id, "withdrawn", flying, there, leg.amount, WITHDRAW_CODE, at=now,
            reference=leg.reference,
        )  # fmt: skip
        await post_or_raise(s, [*await _surplus(s, at), journal])
    return True


async def _surplus(s: WriteSession, at: At) -> list[Transfer]:
    """What leaves beyond the books are rewards that no accrual has seen yet: the holders'."""
    more = at.leg.amount - await books.posted(s, at.pool, books.venue_code(at.row))
    if more <= 0:
        return []
    there = await books.account(s, at.pool, books.venue_code(at.row))
    owed = await books.account(s, at.pool, chart.pool(at.pool.id))
    return [
        journals.moved(
            at.pool, at.leg.id, "surplus", there, owed, more, REALISED_CODE,
            at=at.deps.clock.now(), reference=at.leg.reference,
        )
    ]  # fmt: skip


async def _arrive(at: At) -> bool:
    """arriving -> done: asset:guard <- asset:in-flight, for what the receipt shows at depth."""
    client = at.deps.clients[at.pool.chain_id]
    receipt = await client.receipt(at.leg.tx_hash or "")
    if receipt is None or receipt.status != 1:
        return await _named_again(at)
    depth = await client.height() - receipt.block.number + 1
    if depth < at.deps.registry.chain(at.pool.chain_id).confirmations:
        return False
    if (await client.block(receipt.block.number)).hash != receipt.block.hash:
        return False
    got = await _received(at, receipt)
    if not 0 < got <= at.leg.amount:
        raise Broken(f"leg {at.leg.id}: {got} arrived of {at.leg.amount}")
    return await _post_arrival(at, receipt, got)


async def _named_again(at: At) -> bool:
    """An exchange may send again with another transaction: take the newest name for it.

    A failure at this stage is not believed: the first transaction may still be mined, and paying
    for the same leg twice is worse than a leg that waits for a person.
    """
    leg = at.leg
    found = await at.earn.withdrawal(leg.order_id or leg.id.hex, at.asset, at.decimals)
    if found is None or found.failed or not found.tx_hash or found.tx_hash == leg.tx_hash:
        return False
    return await at.advance(LegState.ARRIVING, tx_hash=found.tx_hash)


async def _received(at: At, receipt: Receipt) -> int:
    """What this transaction brought to the guard, by our own reading."""
    token = at.deps.registry.asset(at.pool.asset_id).address
    if token is None:
        raw = await at.deps.clients[at.pool.chain_id].transaction(receipt.tx_hash)
        if raw is None or str(raw["to"]).lower() != at.pool.guard.lower():
            return 0
        return int(raw["value"], 16)
    return sum(
        int(log.data, 16)
        for log in receipt.logs
        if log.address == token
        and log.topics[0] == TRANSFER_EVENT
        and topic_address(log.topics[2]) == at.pool.guard.lower()
    )


async def _post_arrival(at: At, receipt: Receipt, got: int) -> bool:
    pool, leg = at.pool, at.leg
    event_at, block = from_timestamp(receipt.block.timestamp), receipt.block.number
    async with at.deps.db.write() as s:
        moved = await legs.advance(
            s, leg, LegState.DONE, at=at.deps.clock.now(), received=got, final_block=block
        )
        if not moved:
            return False
        flying = await books.in_flight(s, pool)
        guard = await books.account(s, pool, chart.guard(pool.id))
        transfers = [
            journals.moved(
                pool, leg.id, "arrived", guard, flying, got, ARRIVE_CODE, at=event_at,
                block=block, reference=leg.reference,
            )
        ]  # fmt: skip
        if got < leg.amount:
            owed = await books.account(s, pool, chart.pool(pool.id))
            transfers.append(
                journals.moved(
                    pool, leg.id, "lost", owed, flying, leg.amount - got, LOSS_CODE,
                    at=event_at, block=block, reference=leg.reference,
                )
            )  # fmt: skip
        await post_or_raise(s, transfers)
    return True


STEPS: Mapping[LegState, Callable[[At], Awaitable[bool]]] = {
    LegState.PLANNED: _note_redemption,
    LegState.RELEASED: _credited,
    LegState.CREDITED: _note_subscription,
    LegState.SUBSCRIBING: _subscribe,
    LegState.REDEEMING: _redeem,
    LegState.REDEEMED: _note_withdrawal,
    LegState.WITHDRAWING: _withdraw,
    LegState.ARRIVING: _arrive,
}

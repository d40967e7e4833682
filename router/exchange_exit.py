"""Exits of an exchange: redeemed, withdrawn, seen on chain by our own reading.

An exit's amount is what leaves the venue, the exchange's fee included, so that there is always
enough for both. Of a withdrawal everything is noted before it is asked for. Unknown is a state:
where the order carries our id it may be asked for again; where it can't, only when nothing new is
listed, the balance is still whole, and time has passed.
"""

import logging
from dataclasses import replace

from chains.evm.calldata import topic_address
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.errors import Broken, Unavailable
from custody.ledger import chart
from custody.ledger.posting import post_or_raise
from router import books, journals, legs, realised
from router.exchange_leg import At
from router.states import LegState
from router.venues.cefi.amounts import to_units_up
from router.venues.cefi.port import EarnRefused, EarnSuspended, Order

logger = logging.getLogger(__name__)

WITHDRAW_CODE = "exchange.withdraw"
ARRIVE_CODE = "exchange.arrive"
LOSS_CODE = "exchange.loss"
PATIENCE_S = 600
"""How long a redemption that has left the position may take to show in spot, and a withdrawal that
was asked for to be listed."""
DOUBLINGS_MAX = 6
"""The pause after a refused or failed withdrawal doubles so often: to about an hour."""


async def note_redemption(at: At) -> bool:
    """planned -> redeeming."""
    return await at.advance(LegState.REDEEMING, position_before=await at.position())


async def redeem(at: At) -> bool:
    """redeeming -> redeemed, once spot holds the exit's amount; only what it lacks is redeemed.

    Whether an order is being worked on is read first: what is read after a no is final. The
    position is read before spot, so that an order taken between the two is seen in one.
    """
    if await _busy(at):
        return False
    position, amount = await at.position(), at.leg.amount
    leaving = await at.earn.leaving(at.asset, at.product, at.decimals)
    spot = await at.spot()
    if spot >= amount:
        return await at.advance(LegState.REDEEMED, order_id=at.leg.id.hex, reason=None)
    missing = amount - spot - leaving
    if missing <= 0:
        return False  # it is on its way out, by the product's terms
    taken = position < (at.leg.position_before or 0)
    if taken and not leaving and not await at.rested(PATIENCE_S):
        return False  # the order was taken and its money is not in spot yet
    if position + spot < amount:
        return await at.advance(LegState.FAILED, reason="the holding is smaller than the exit")
    return await _ask_back(at, missing)


async def _busy(at: At) -> bool:
    """An old subscription that has failed says nothing about a redemption."""
    try:
        return await at.earn.busy(at.product)
    except EarnRefused:
        return False


async def _ask_back(at: At, amount: int) -> bool:
    try:
        await at.earn.redeem(at.product, amount, at.decimals)
    except EarnRefused as refusal:
        logger.error("not redeemed", extra={"leg": at.leg.reference, "error": refusal})
        await at.note(f"redemption refused: {refusal}")
    return False


async def note_withdrawal(at: At) -> bool:
    """redeemed -> withdrawing: what the exchange lists already is noted, committed, then asked.

    Only this first time a refusal proves that there is no order.
    """
    leg = at.leg
    if leg.attempt and not await at.rested(legs.RETRY_S << min(leg.attempt - 1, DOUBLINGS_MAX)):
        return False  # the last withdrawal has just failed
    order = _order(at)
    try:
        fee = await _fee(at, order)
    except EarnSuspended as suspended:
        await at.note(f"withdrawals are suspended: {suspended}")
        return False
    if fee >= leg.amount:
        return await at.advance(LegState.FAILED, reason="the fee is as large as the exit")
    known = await at.earn.known(order)
    if not await at.advance(LegState.WITHDRAWING, order_known=known):
        return False
    noted = replace(leg, state=LegState.WITHDRAWING, order_known=known)
    return await _ask(At(at.deps, at.pool, at.row, noted), replace(order, known=known), fee)


async def _ask(at: At, order: Order, fee: int) -> bool:
    try:
        await at.earn.withdraw(order, fee)
    except EarnRefused as refusal:
        logger.error("not withdrawn", extra={"leg": at.leg.reference, "error": refusal})
        reason = f"withdrawal refused: {refusal}"[:500]
        return await at.advance(LegState.REDEEMED, order_id=at.leg.next_order_id, reason=reason)
    return True


def _order(at: At) -> Order:
    leg = at.leg
    return Order(
        id=leg.order_id or leg.id.hex,
        asset=at.asset,
        network=at.row.config["network"],
        address=at.pool.guard,
        amount=leg.amount,
        decimals=at.decimals,
        known=leg.order_known or "",
    )


async def _fee(at: At, order: Order) -> int:
    """What the exchange takes of a withdrawal: by its word, else as configured.

    Raises EarnSuspended.
    """
    try:
        return await at.earn.withdrawal_fee(order)
    except EarnSuspended:
        raise
    except EarnRefused:
        return to_units_up(at.row.config.get("withdraw_fee", "0"), at.decimals)


async def withdraw(at: At) -> bool:
    """withdrawing -> arriving: asset:in-flight <- asset:exchange, once a transaction is named."""
    leg, order = at.leg, _order(at)
    found = await at.earn.withdrawal(order)
    if found is None:
        return await _ask_again(at, order)
    if found.failed:
        logger.error("withdrawal failed", extra={"leg": leg.reference, "order": order.id})
        reason = f"withdrawal {order.id} failed at the exchange"
        return await at.advance(LegState.REDEEMED, order_id=leg.next_order_id, reason=reason)
    if not found.tx_hash:
        return False
    now = at.deps.clock.now()
    async with at.deps.db.write() as s:
        if not await legs.advance(
            s, leg, LegState.ARRIVING, at=now, tx_hash=found.tx_hash, reason=None
        ):
            return False
        flying = await books.in_flight(s, at.pool)
        transfers = await realised.left(
            s, at.pool, at.row, leg, flying, leg.amount, "withdrawn", WITHDRAW_CODE, at=now
        )
        await post_or_raise(s, transfers)
    return True


async def _ask_again(at: At, order: Order) -> bool:
    """The order is not listed. A refusal now proves nothing of the first time: look again.

    Without our id in it, the balance must still hold all of it long after we asked: an order that
    was taken has left it. The second look comes after the balance was read.
    """
    if not at.earn.own_ids:
        if not await at.rested(PATIENCE_S):
            return False
        if await at.spot() < at.leg.amount or await at.earn.withdrawal(order) is not None:
            await at.note(f"withdrawal {order.id}: what came of it is not known")
            return False
        if not await at.advance(LegState.WITHDRAWING):
            return False
    try:
        fee = await _fee(at, order)
        if fee >= at.leg.amount:
            raise Unavailable(f"{at.leg.reference}: the fee has risen to the whole exit")
        await at.earn.withdraw(order, fee)
    except EarnRefused as refusal:
        await at.note(f"withdrawal refused: {refusal}")
    return False


async def arrive(at: At) -> bool:
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
    found = await at.earn.withdrawal(_order(at))
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

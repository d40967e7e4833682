"""Legs at an exchange, after the guard has paid and before it is paid back.

The exchange's answers may be lost. A withdrawal carries our own id. Subscribe and redeem take
none, so the position is stored before we ask and compared before we ask again: one leg at a time
moves at a venue, and rewards are small beside a ticket.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from chains.errors import ChainError
from chains.evm.calldata import topic_address
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Receipt
from custody.core.clock import from_timestamp
from custody.core.errors import Broken, MoorageError, Unavailable
from custody.ledger import chart
from custody.ledger.posting import post_or_raise
from router import books, journals, legs
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.states import LegState
from router.venues.cefi.port import Earn, EarnRefused, EarnUnavailable
from router.venues.factory import earn

logger = logging.getLogger(__name__)

CREDIT_CODE = "exchange.credit"
WITHDRAW_CODE = "exchange.withdraw"
ARRIVE_CODE = "exchange.arrive"
LOSS_CODE = "exchange.loss"


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

    async def advance(self, new: LegState, **columns: object) -> bool:
        async with self.deps.db.write() as s:
            return await legs.advance(s, self.leg, new, at=self.deps.clock.now(), **columns)


async def step(deps: RouterDeps) -> int:
    """One state further for every exchange leg that can; a broken one holds up no other."""
    moved = 0
    for leg, pool, row in await _work(deps):
        try:
            moved += await STEPS[leg.state](At(deps, pool, row, leg))
        except (ChainError, EarnUnavailable, EarnRefused, MoorageError) as error:
            logger.warning("exchange leg waits", extra={"leg": leg.reference, "error": error})
    return moved


async def _work(deps: RouterDeps) -> list[tuple[Leg, Pool, VenueRow]]:
    """The oldest exchange leg of each venue that is in one of our states."""
    found: list[tuple[Leg, Pool, VenueRow]] = []
    busy: set[str] = set()
    async with deps.db.read() as s:
        for leg in await legs.in_states(s, [*STEPS, LegState.EXECUTING]):
            row = await books.venue(s, leg.pool_id, leg.venue_id)
            if not row.exchange or row.id in busy:
                continue
            if leg.state is LegState.PLANNED and leg.action is Action.ENTER:
                continue
            busy.add(row.id)
            if leg.state is not LegState.EXECUTING:
                pool = await books.pool(s, leg.tenant_id, leg.pool_id)
                found.append((leg, pool, row))
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
    if await at.spot() >= amount:
        await at.earn.subscribe(at.product, amount, at.decimals)
    return False


async def _note_redemption(at: At) -> bool:
    """planned -> redeeming."""
    return await at.advance(LegState.REDEEMING, position_before=await at.position())


async def _redeem(at: At) -> bool:
    """redeeming -> redeemed. Rewards since may hide a little of the fall, never half of it."""
    before, amount = at.leg.position_before or 0, at.leg.amount
    if await at.position() <= before - amount + amount // 2:
        return await at.advance(LegState.REDEEMED, order_id=at.leg.id.hex)
    if before < amount:
        return await at.advance(LegState.FAILED, reason="the position is smaller than the exit")
    await at.earn.redeem(at.product, amount, at.decimals)
    return False


async def _note_withdrawal(at: At) -> bool:
    """redeemed -> withdrawing: from here on the order may exist."""
    return await at.advance(LegState.WITHDRAWING)


async def _withdraw(at: At) -> bool:
    """withdrawing -> arriving: asset:in-flight <- asset:exchange, once a transaction is named."""
    leg, order = at.leg, at.leg.order_id or at.leg.id.hex
    found = await at.earn.withdrawal(order, at.asset, at.decimals)
    if found is None:
        await at.earn.withdraw(
            at.asset, at.row.config["network"], at.pool.guard, leg.amount, at.decimals, order
        )
        return False
    if found.failed:
        raise Unavailable(f"withdrawal {order} failed at the exchange: a person must look")
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
        await post_or_raise(s, [journal])
    return True


async def _arrive(at: At) -> bool:
    """arriving -> done: asset:guard <- asset:in-flight, for what the receipt shows at depth."""
    client = at.deps.clients[at.pool.chain_id]
    receipt = await client.receipt(at.leg.tx_hash or "")
    if receipt is None or receipt.status != 1:
        return False
    depth = await client.block_number() - receipt.block.number + 1
    if depth < at.deps.registry.chain(at.pool.chain_id).confirmations:
        return False
    if (await client.block(receipt.block.number)).hash != receipt.block.hash:
        return False
    got = await _received(at, receipt)
    if not 0 < got <= at.leg.amount:
        raise Broken(f"leg {at.leg.id}: {got} arrived of {at.leg.amount}")
    return await _post_arrival(at, receipt, got)


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

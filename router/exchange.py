"""Legs at an exchange, after the guard has paid and before it is paid back.

The exchange's answers may be lost. Subscribe and redeem take no id of ours, so the position is
stored before we ask and compared before we ask again: one leg at a time moves at a venue, and
rewards are small beside a ticket. Exits are in router/exchange_exit.py.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from uuid import UUID

from custody.core.errors import Broken
from custody.core.isolation import each
from custody.ledger.posting import post_or_raise
from router import books, exchange_exit, journals, legs
from router.deps import RouterDeps
from router.exchange_leg import At
from router.legs import Leg
from router.moves import Action
from router.states import LegState
from router.venues.cefi.port import EarnRefused

logger = logging.getLogger(__name__)

CREDIT_CODE = "exchange.credit"


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
    """credited -> subscribing: remember the position, commit that, and ask.

    A leg that is found in `subscribing` may have been asked for: every later step looks first.
    """
    before, amount = await at.position(), at.leg.received or at.leg.amount
    if await at.spot() < amount:
        return False  # credited by its list, and not free yet
    if not await at.advance(LegState.SUBSCRIBING, position_before=before):
        return False
    noted = replace(at.leg, state=LegState.SUBSCRIBING, position_before=before)
    return await _ask(At(at.deps, at.pool, at.row, noted), amount)


async def _subscribe(at: At) -> bool:
    """subscribing -> done, if all is there; else ask for what isn't: it may be a part.

    Whether an order is being worked on is read first: what is read after a no is final.
    """
    refused: EarnRefused | None = None
    try:
        if await at.earn.busy(at.product):
            return False
    except EarnRefused as refusal:
        refused = refusal
    missing = (at.leg.received or at.leg.amount) + (at.leg.position_before or 0)
    missing -= await at.position()
    if missing <= 0:
        return await at.advance(LegState.DONE)
    if refused is not None:
        return await _give_up(at, refused)
    if await at.spot() < missing:
        return False
    return await _ask(at, missing)


async def _ask(at: At, amount: int) -> bool:
    try:
        await at.earn.subscribe(at.product, amount, at.decimals)
    except EarnRefused as refusal:
        return await _give_up(at, refusal)
    return True


async def _give_up(at: At, refusal: EarnRefused) -> bool:
    """subscribing -> done. The money stays in spot, earns nothing, counts as the venue's and leaves
    like the rest: that beats a leg, and with it a venue, that never ends."""
    logger.error("not subscribed", extra={"leg": at.leg.reference, "error": refusal})
    return await at.advance(LegState.DONE, reason=f"not subscribed: {refusal}"[:500])


STEPS: Mapping[LegState, Callable[[At], Awaitable[bool]]] = {
    LegState.PLANNED: exchange_exit.note_redemption,
    LegState.RELEASED: _credited,
    LegState.CREDITED: _note_subscription,
    LegState.SUBSCRIBING: _subscribe,
    LegState.REDEEMING: exchange_exit.redeem,
    LegState.REDEEMED: exchange_exit.note_withdrawal,
    LegState.WITHDRAWING: exchange_exit.withdraw,
    LegState.ARRIVING: exchange_exit.arrive,
}

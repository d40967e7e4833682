"""Holders paid out of the pool: recall from venues, release to the treasury, shares burned.

Amount and shares are fixed when the release is decided, at the price of that moment. The order is
first come, first served; a redemption that is too big for the idle money lets smaller ones behind
it wait too, so that nobody is overtaken for ever.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chains.types import Receipt
from custody.audit import log
from custody.core.clock import from_timestamp
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, NotFound, Refused, Unavailable
from custody.core.ids import CustomerId, IntentId, TransferId, format_id, new_uuid7
from custody.core.intents import Intent
from custody.core.isolation import each
from custody.ledger import accounts, chart, holds
from custody.ledger.posting import derived_id, post_or_raise
from custody.parties import places
from custody.settlement import intents
from custody.withdrawals import redeem
from router import bars, books, claims, journals, legs, orders, plan
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.states import LegState, RedemptionState, move
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

RELEASE_CODE = "pool.release"
SPEED = {"aave": 0, "erc4626": 0, "exchange": 1, "staking": 2}
"""Which venues are asked first: instant ones, then an exchange, then a queue."""
COMING = timedelta(minutes=10)
"""How long an exit from an exchange is counted on."""
_OPEN = (
    "SELECT id, tenant_id, pool_id, customer_id, hold_id, hold_shares, amount, shares,"
    " withdrawal_id, state, intent_id FROM redemptions"
)


async def step(deps: RouterDeps) -> int:
    """Take up new redemptions, release what is there, recall what is missing."""
    await _take_up(deps)
    async with deps.db.read() as s:
        every = await books.pools(s)
    moved = await each(logger, "releases", every, lambda pool: _release_due(deps, pool))
    return moved + await each(logger, "recall", every, lambda pool: _recall(deps, pool))


async def _take_up(deps: RouterDeps) -> None:
    """One row for every withdrawal that waits for pooled money."""
    async with deps.db.read() as s:
        waiting = await redeem.pending_redemptions(s)
        rows = await s.all(
            "SELECT hold_id FROM redemptions WHERE hold_id = ANY(:holds)",
            {"holds": [w.hold_id for w in waiting]},
        )
    known = {row.hold_id for row in rows}
    fresh = [w for w in waiting if w.hold_id not in known]
    await each(logger, "redemption", fresh, lambda wanted: _take_up_one(deps, wanted))


async def _take_up_one(deps: RouterDeps, wanted: redeem.PendingRedemption) -> bool:
    async with deps.db.write() as s:
        pool = await books.pool(s, wanted.tenant_id, wanted.pool_id)
        if wanted.asset_id != pool.asset_id:
            # The pool would pay in its own asset, which nobody asked for.
            reason = f"the pool holds {pool.asset_id}, not {wanted.asset_id}"
            await redeem.redemption_failed(
                s, deps.clock, wanted.tenant_id, wanted.withdrawal_id, reason
            )
            return False
        try:
            hold = await holds.get(s, wanted.tenant_id, TransferId(wanted.hold_id))
        except NotFound:
            return False
        await claims.add_redemption(
            s, pool, wanted.customer_id, hold.id, hold.amount, wanted.amount,
            wanted.withdrawal_id, id_=new_uuid7(), at=deps.clock.now(),
        )  # fmt: skip
    return True


async def _release_due(deps: RouterDeps, pool: Pool) -> int:
    """Release in order of arrival until the idle money is used up."""
    async with deps.db.read() as s:
        rows = await s.all(
            f"{_OPEN} WHERE pool_id = :pool AND state IN ('requested', 'recalling')"
            " AND (retry_at IS NULL OR retry_at <= now()) ORDER BY created_at, id",
            {"pool": pool.id},
        )
    released = 0
    for row in rows:
        try:
            async with deps.db.write() as s:
                if not await _release(s, deps, pool, row):
                    break
        except (Refused, Unavailable) as error:
            logger.error("release refused", extra={"redemption": row.id, "error": error})
            async with deps.db.write() as s:
                await _later(s, row.id, error.detail)
            break
        except Exception:
            logger.exception("release stays", extra={"redemption": row.id})
            continue  # it waits for a person, and those behind it do not
        released += 1
    return released


async def _release(s: WriteSession, deps: RouterDeps, pool: Pool, row: Any) -> bool:
    """Decide amount and shares, hold the guard's money, create the intent. False: not enough."""
    pool = await books.pool(s, pool.tenant_id, pool.id, lock=True)
    state, now = RedemptionState(row.state), deps.clock.now()
    try:
        await holds.get(s, pool.tenant_id, TransferId(row.hold_id))
    except NotFound:
        return await move(
            s, "redemptions", row.id, state, RedemptionState.FAILED, reason="its hold is gone"
        )
    totals = await books.totals(s, pool)
    held_shares = int(row.hold_shares)
    if totals.assets == 0:
        return await _too_little(s, deps, row, state)  # all is lost: shares have no price
    if row.amount is None:
        amount, shares = totals.value_down(held_shares), held_shares
    else:
        amount = int(row.amount)
        shares = totals.shares_up(amount)
    if shares > held_shares or amount == 0:
        return await _too_little(s, deps, row, state)
    if await books.available(s, pool, chart.guard(pool.id)) < amount:
        if state is RedemptionState.REQUESTED:
            await move(s, "redemptions", row.id, state, RedemptionState.RECALLING)
        return False
    intent_id = IntentId(new_uuid7())
    moved = await move(
        s, "redemptions", row.id, state, RedemptionState.RELEASING, amount=amount,
        shares=shares, intent_id=intent_id,
    )  # fmt: skip
    if not moved:
        return True
    await _hold_and_order(s, pool, intent_id, amount, row.id, now)
    return True


async def _hold_and_order(
    s: WriteSession, pool: Pool, intent_id: IntentId, amount: int, row_id: UUID, now: datetime
) -> None:
    guard = await books.account(s, pool, chart.guard(pool.id))
    treasury = await books.account(s, pool, chart.treasury(pool.chain_id))
    held = journals.held(
        pool, derived_id(intent_id, "hold"), treasury, guard, amount, RELEASE_CODE, at=now
    )
    await post_or_raise(s, [held])
    allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    payee = await places.place(s, pool.tenant_id, pool.chain_id, places.TREASURY)
    reference = f"redemption:{row_id.hex}"
    intent = orders.release(pool, allocator, intent_id, payee.address, amount, reference)
    await intents.create(s, intent, at=now)


async def _too_little(s: WriteSession, deps: RouterDeps, row: Any, state: RedemptionState) -> bool:
    """The price fell so far that the held shares are not worth the amount any more."""
    reason = "the shares held are worth less than the amount"
    moved = await move(s, "redemptions", row.id, state, RedemptionState.FAILED, reason=reason)
    if moved and row.withdrawal_id is not None:
        await redeem.redemption_failed(s, deps.clock, row.tenant_id, row.withdrawal_id, reason)
    elif moved:
        now = deps.clock.now()
        hold = TransferId(row.hold_id)
        await holds.void_hold(
            s, row.tenant_id, hold, derived_id(row.id, "void"), "pool.leave", event_at=now
        )
    return True


async def _later(s: WriteSession, row_id: UUID, reason: str) -> None:
    await s.execute(
        "UPDATE redemptions SET retry_at = now() + interval '60 seconds', reason = :reason"
        " WHERE id = :id",
        {"id": row_id, "reason": reason[:500]},
    )


async def _recall(deps: RouterDeps, pool: Pool) -> int:
    """Exit legs for what the waiting redemptions lack, from the quickest venues first."""
    async with deps.db.read() as s:
        rows = {v.id: v for v in await books.venues(s, pool.id)}
        short = await _shortage(s, deps, pool, rows)
    if short <= 0:
        return await _call_off(deps, pool)
    block = await plan.confirmed_block(deps, pool.chain_id)
    states = await plan.read_venues(deps, pool, tuple(rows.values()), block)
    async with deps.db.write() as s:
        await books.pool(s, pool.tenant_id, pool.id, lock=True)
        short = await _shortage(s, deps, pool, rows)
        busy = {leg.venue_id for leg in await legs.unfinished(s, pool.id)}
        busy |= await legs.failed_exits(s, pool.id)  # what has just reverted would do so again
        made = 0
        for row, most in _quickest(rows, states):
            if short <= 0 or row.id in busy or most <= 0:
                continue
            amount = min(short, most)
            await legs.add(s, pool, None, row.id, Action.EXIT, amount, at=deps.clock.now())
            short -= amount
            made += 1
    return made


async def _call_off(deps: RouterDeps, pool: Pool) -> int:
    """End recalls that wait at a venue once the idle money is enough for all who want theirs.

    What is only on its way does not end them: they would be asked anew, without their pause.
    """
    async with deps.db.read() as s:
        if await plan.reserved(s, pool) > await books.available(s, pool, chart.guard(pool.id)):
            return 0
        every = await legs.unfinished(s, pool.id)
        leaving = await bars.leaving(s, pool.id)
    idle = [
        leg
        for leg in every
        if leg.state is LegState.WAITING and leg.plan_id is None and leg.venue_id not in leaving
    ]
    if not idle:
        return 0
    reason, now = "the money came from elsewhere", deps.clock.now()
    async with deps.db.write() as s:
        for leg in idle:
            await legs.end(s, leg, LegState.CANCELLED, reason, at=now, code="superseded")
    return len(idle)


def _quickest(
    rows: Mapping[str, VenueRow], states: Mapping[str, VenueState | None]
) -> list[tuple[VenueRow, int]]:
    """Venues by speed, then by how much they can give; ties by id."""
    known = [(rows[id_], state.withdrawable) for id_, state in states.items() if state]
    return sorted(known, key=lambda k: (SPEED[k[0].kind], -k[1], k[0].id))


async def _shortage(
    s: ReadSession, deps: RouterDeps, pool: Pool, rows: Mapping[str, VenueRow]
) -> int:
    """What redemptions want beyond the idle money and what is coming back anyway."""
    wanted = await plan.reserved(s, pool)
    if wanted == 0:
        return 0
    now = deps.clock.now()
    coming = sum(
        leg.amount
        for leg in await legs.unfinished(s, pool.id)
        if leg.action is Action.EXIT
        and leg.state is not LegState.WAITING
        and not _doubtful(leg, rows[leg.venue_id], now)
    )
    return wanted - await books.available(s, pool, chart.guard(pool.id)) - coming


def _doubtful(leg: Leg, row: VenueRow, now: datetime) -> bool:
    """An exchange's exit that holders should not wait for: too old, or refused once already.

    By the wall clock, which the leg's creation is in too: an exchange keeps no chain's time, and
    a chain that stands still must not make its exits look young.
    """
    return row.exchange and (leg.attempt > 0 or now - leg.created_at > COMING)


async def on_released(s: WriteSession, deps: RouterDeps, intent: Intent, receipt: Receipt) -> None:
    """asset:treasury <- asset:guard, shares burned, the holder credited: one linked group."""
    row = await _by_intent(s, intent)
    pool = await books.pool(s, intent.tenant_id, row.pool_id, lock=True)
    customer = CustomerId(row.customer_id)
    at, block = from_timestamp(receipt.block.timestamp), receipt.block.number
    hold, group = derived_id(intent.id, "hold"), derived_id(intent.id, "group")
    reference = format_id("intent", intent.id)
    try:
        await holds.get(s, pool.tenant_id, TransferId(row.hold_id))
    except NotFound:
        await _money_without_claim(s, pool, row, intent, receipt)
        return
    owed = await books.account(s, pool, chart.pool(pool.id))
    holder = await accounts.ensure(
        s, pool.tenant_id, chart.customer(customer), pool.asset_id, "liability", owner_id=customer
    )
    await post_or_raise(
        s,
        [
            journals.hold_posted(
                pool, hold, intent.id, "released", intent.amount, RELEASE_CODE, receipt,
                group=group, reference=reference,
            ),
            journals.hold_posted(
                pool, TransferId(row.hold_id), intent.id, "burned", int(row.shares),
                "pool.burn", receipt, group=group, reference=reference,
            ),
            journals.moved(
                pool, intent.id, "credited", owed, holder, intent.amount, "pool.leave", at=at,
                block=block, group=group, reference=reference,
            ),
        ],
    )  # fmt: skip
    await _settled(s, deps, pool, row, intent)


async def _settled(s: WriteSession, deps: RouterDeps, pool: Pool, row: Any, intent: Intent) -> None:
    now = deps.clock.now()
    await move(s, "redemptions", row.id, RedemptionState.RELEASING, RedemptionState.SETTLED)
    withdrawal = row.withdrawal_id
    data = {
        "pool": format_id("pool", pool.id),
        "customer": format_id("customer", row.customer_id),
        "asset": pool.asset_id,
        "amount": str(intent.amount),
        "shares": str(int(row.shares)),
        "withdrawal": None if withdrawal is None else format_id("withdrawal", withdrawal),
    }
    await log.append(s, pool.tenant_id, "pool.left", data, at=now)
    if withdrawal is not None:
        await redeem.redemption_done(s, pool.tenant_id, withdrawal, intent.amount, at=now)


async def _money_without_claim(
    s: WriteSession, pool: Pool, row: Any, intent: Intent, receipt: Receipt
) -> None:
    """The withdrawal was cancelled while its money was on its way: the pool sends it back."""
    hold = derived_id(intent.id, "hold")
    posted = journals.hold_posted(
        pool, hold, intent.id, "released", intent.amount, RELEASE_CODE, receipt
    )
    await post_or_raise(s, [posted])
    await claims.add_funding(
        s, pool, CustomerId(row.customer_id), intent.amount, id_=new_uuid7(),
        at=from_timestamp(receipt.block.timestamp),
    )  # fmt: skip
    old = RedemptionState.RELEASING
    await move(s, "redemptions", row.id, old, RedemptionState.SETTLED, reason="sent back")


async def on_release_failed(s: WriteSession, intent: Intent, reason: str, *, at: datetime) -> None:
    """Nothing left the guard: the redemption waits again, for a minute."""
    row = await _by_intent(s, intent)
    pool = await books.pool(s, intent.tenant_id, row.pool_id)
    hold = derived_id(intent.id, "hold")
    await post_or_raise(s, [journals.hold_void(pool, hold, intent.id, RELEASE_CODE, at=at)])
    old = RedemptionState.RELEASING
    await move(s, "redemptions", row.id, old, RedemptionState.REQUESTED, intent_id=None)
    await _later(s, row.id, reason)


async def _by_intent(s: ReadSession, intent: Intent) -> Any:
    row = await s.first(
        f"{_OPEN} WHERE intent_id = :intent AND tenant_id = :tenant",
        {"intent": intent.id, "tenant": intent.tenant_id},
    )
    if row is None:
        raise Broken(f"intent {intent.id} releases for nobody")
    return row

"""Holders paid out of the pool: recall from venues, release to the treasury, shares burned.

Amount and shares are fixed when the release is decided, at the price of that moment. Free money is
set aside by the law of `exit_queue`; an exit is paid when all of its money is there or, where that
takes long, in parts. A part burns its shares, and the rest of them wait on under a hold of their
own: they keep their day, and have the gains and losses of those who stay.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
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
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.parties import places
from custody.policy import breakers
from custody.settlement import intents
from custody.withdrawals import redeem
from router import (
    bars,
    books,
    claims,
    exits,
    journals,
    legs,
    orders,
    owed,
    policies,
    products,
    reading,
    shortage,
)
from router.books import Pool, VenueRow
from router.departures import ELSEWHERE
from router.deps import RouterDeps
from router.exits import Offer
from router.moves import Action
from router.states import LegState, RedemptionState, move
from router.venues.kinds import VAULTS
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

RELEASE_CODE = "pool.release"
EXIT_FEE_CODE = "fee.exit"
SPEED = {"aave": 0, **dict.fromkeys(VAULTS, 0), "exchange": 1, "staking": 2}
"""Which venues are asked first: instant ones, then an exchange, then a queue."""
_OPEN = (
    "SELECT id, tenant_id, pool_id, customer_id, hold_id, hold_shares, amount, shares,"
    " withdrawal_id, state, intent_id, fee FROM redemptions"
)


async def step(deps: RouterDeps) -> int:
    """Take up new redemptions, release what is there, recall what is missing."""
    await claims.take_up(deps)
    async with deps.db.read() as s:
        every = await books.pools(s)
    moved = await each(logger, "releases", every, lambda pool: _release_due(deps, pool))
    return moved + await each(logger, "recall", every, lambda pool: _recall(deps, pool))


async def _release_due(deps: RouterDeps, pool: Pool) -> int:
    """Set free money aside, then release what that is enough for, in the queue's order."""
    async with deps.db.read() as s:
        if not await exits.any_due(s, pool, deps.clock.now()):
            return 0
    async with deps.db.write() as s:
        locked = await books.pool(s, pool.tenant_id, pool.id, lock=True)
        if await _stopped(s, locked):
            return 0
        rows = await exits.allot_due(s, locked, deps.clock.now())
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


async def _stopped(s: WriteSession, pool: Pool) -> bool:
    """Whether the books are being checked: then the price of a share is not known well enough for
    anybody to leave by it. Venues are left all the same. Who waits is told."""
    found = await breakers.stopping(s, pool.tenant_id, bars.stopped_by(pool.id, pool.asset_id))
    if found is None:
        return False
    await s.execute(
        "UPDATE redemptions SET reason = :reason WHERE pool_id = :pool"
        " AND state IN ('requested', 'recalling') AND reason IS DISTINCT FROM :reason",
        {"pool": pool.id, "reason": found.reason},
    )
    return True


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
    totals, stated = await books.totals(s, pool), await products.current(s, pool)
    if exits.whole_offer(totals, stated, row, now) is None:
        return await _too_little(s, deps, row, state)
    offer = exits.offer_now(totals, stated, row, now)
    if offer is None:
        return True  # the price has moved since: the next round sets the rest aside
    if await books.available(s, pool, chart.guard(pool.id)) < offer.amount:
        return False
    intent_id = IntentId(new_uuid7())
    if await _to_release(s, row, state, offer, intent_id):
        await _hold_and_order(s, pool, intent_id, offer.amount, row.id, now)
    return True


async def _to_release(
    s: WriteSession, row: Any, state: RedemptionState, offer: Offer, intent_id: IntentId
) -> bool:
    return await move(
        s, "redemptions", row.id, state, RedemptionState.RELEASING, amount=offer.amount,
        shares=offer.shares, fee=offer.fee, intent_id=intent_id,
        set_aside=max(int(row.set_aside) - offer.amount, 0),
    )  # fmt: skip


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
    reference = f"{breakers.HOMEWARD}{row_id.hex}"
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
        policy = await policies.current(s, pool.id)
        ticket = 0 if policy is None else policy.rebalance.ticket
        short = await shortage.lacking(s, pool, rows, deps.clock.now(), ticket)
    if short <= 0:
        return await _call_off(deps, pool)
    block = await reading.confirmed_block(deps, pool.chain_id)
    states = await reading.read_venues(deps, pool, tuple(rows.values()), block)
    async with deps.db.write() as s:
        await books.pool(s, pool.tenant_id, pool.id, lock=True)
        short = await shortage.lacking(s, pool, rows, deps.clock.now(), ticket)
        # What is in a venue's queue already holds up nobody: the rest is asked for beside it.
        every = await legs.unfinished(s, pool.id)
        busy = {leg.venue_id for leg in every if leg.state not in ELSEWHERE}
        busy |= await legs.failed_exits(s, pool.id)  # what has just reverted would do so again
        made = 0
        for row, most in _quickest(rows, states):
            if short <= 0 or row.id in busy or most <= 0:
                continue
            amount = min(max(short, ticket), most)  # a smaller one isn't worth its transaction
            await legs.add(s, pool, None, row.id, Action.EXIT, amount, at=deps.clock.now())
            short -= amount
            made += 1
    return made


async def _call_off(deps: RouterDeps, pool: Pool) -> int:
    """End recalls that wait at a venue once the idle money is enough for all who want theirs.

    What is only on its way does not end them: they would be asked anew, without their pause.
    """
    async with deps.db.read() as s:
        wanted = await owed.reserved(s, pool, deps.clock.now())
        if wanted > await books.available(s, pool, chart.guard(pool.id)):
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


async def on_released(s: WriteSession, deps: RouterDeps, intent: Intent, receipt: Receipt) -> None:
    """asset:treasury <- asset:guard, shares burned, the holder credited: one linked group.

    The exit's fee goes from liability:pool to income; its money stays in the guard.
    """
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
    fee = await _fee(s, pool, int(row.fee), intent, receipt, group)
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
            *fee,
        ],
    )  # fmt: skip
    await _settled(s, deps, pool, row, intent)


async def _fee(
    s: WriteSession, pool: Pool, amount: int, intent: Intent, receipt: Receipt, group: UUID
) -> list[Transfer]:
    if amount == 0:
        return []
    owed = await books.account(s, pool, chart.pool(pool.id))
    income = await accounts.ensure(s, pool.tenant_id, chart.INCOME_FEES, pool.asset_id, "income")
    return [
        journals.moved(
            pool, intent.id, "fee", owed, income, amount, EXIT_FEE_CODE,
            at=from_timestamp(receipt.block.timestamp), block=receipt.block.number, group=group,
            reference=format_id("intent", intent.id),
        )
    ]  # fmt: skip


async def _settled(s: WriteSession, deps: RouterDeps, pool: Pool, row: Any, intent: Intent) -> None:
    now, rest = deps.clock.now(), int(row.hold_shares) - int(row.shares)
    withdrawal = row.withdrawal_id
    done = withdrawal is not None or rest == 0
    await _paid(s, row)
    if done:
        await move(s, "redemptions", row.id, RedemptionState.RELEASING, RedemptionState.SETTLED)
    else:
        await _wait_on(s, pool, row, intent, rest, now)
    data = {
        "pool": format_id("pool", pool.id),
        "customer": format_id("customer", row.customer_id),
        "asset": pool.asset_id,
        "amount": str(intent.amount),
        "shares": str(int(row.shares)),
        "withdrawal": None if withdrawal is None else format_id("withdrawal", withdrawal),
        "redemption": format_id("redemption", row.id),
        "fee": str(int(row.fee)),
        "left_shares": "0" if done else str(rest),
    }
    await log.append(s, pool.tenant_id, "pool.left", data, at=now)
    if withdrawal is not None:
        await redeem.redemption_done(s, pool.tenant_id, withdrawal, intent.amount, at=now)


async def _paid(s: WriteSession, row: Any) -> None:
    await s.execute(
        "UPDATE redemptions SET paid = paid + amount, paid_shares = paid_shares + shares,"
        " paid_fees = paid_fees + fee WHERE id = :id",
        {"id": row.id},
    )


async def _wait_on(
    s: WriteSession, pool: Pool, row: Any, intent: Intent, rest: int, now: datetime
) -> None:
    """A part is paid: the shares that are left wait on under a hold of their own."""
    hold = derived_id(intent.id, "rest")
    mine = await books.share_account(s, pool, CustomerId(row.customer_id))
    issue = await books.account(s, pool, chart.pool_shares(pool.id), pool.share_asset)
    held = journals.held(
        pool, hold, mine, issue, rest, "pool.leave", at=now, reference=format_id("pool", pool.id)
    )
    await post_or_raise(s, [held])
    await move(
        s, "redemptions", row.id, RedemptionState.RELEASING, RedemptionState.REQUESTED,
        hold_id=hold, hold_shares=rest, amount=None, shares=None, fee=0, intent_id=None,
    )  # fmt: skip


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
    # An exit that wants no exact amount is worth what its shares are when it is tried again. The
    # money stays set aside: a failure on chain costs nobody his turn.
    amount = None if row.withdrawal_id is None else int(row.amount)
    await move(
        s, "redemptions", row.id, RedemptionState.RELEASING, RedemptionState.REQUESTED,
        intent_id=None, amount=amount, shares=None, fee=0, set_aside=intent.amount,
    )  # fmt: skip
    await _later(s, row.id, reason)


async def _by_intent(s: ReadSession, intent: Intent) -> Any:
    row = await s.first(
        f"{_OPEN} WHERE intent_id = :intent AND tenant_id = :tenant",
        {"intent": intent.id, "tenant": intent.tenant_id},
    )
    if row is None:
        raise Broken(f"intent {intent.id} releases for nobody")
    return row

"""Rows that wait for money to move: fundings (treasury to guard) and redemptions (back)."""

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from custody.core.db import WriteSession
from custody.core.errors import NotFound, Refused
from custody.core.ids import CustomerId, TransferId, new_uuid7
from custody.core.isolation import each
from custody.ledger import holds
from custody.withdrawals import redeem
from router import books, models, products
from router.books import Pool
from router.deps import RouterDeps
from router.states import FundingState, RedemptionState

logger = logging.getLogger(__name__)


async def add_funding(
    s: WriteSession, item: Pool, customer: CustomerId, amount: int, *, id_: Any, at: datetime
) -> None:
    """Money of the pool that lies in the treasury and has to go to the guard."""
    await s.execute(
        models.fundings.insert(),
        {
            "id": id_, "tenant_id": item.tenant_id, "pool_id": item.id,
            "customer_id": customer, "amount": amount,
            "state": FundingState.WAITING.value, "created_at": at,
        },
    )  # fmt: skip


async def add_redemption(
    s: WriteSession,
    item: Pool,
    customer: CustomerId,
    hold: Any,
    hold_shares: int,
    amount: int | None,
    withdrawal: Any,
    *,
    id_: Any,
    at: datetime,
    due_at: datetime | None = None,
) -> None:
    """One row a hold: seeing the same hold twice adds nothing. `amount` None: what it is worth.

    `due_at`: when its notice is over; None: it has none.
    """
    values = {
        "id": id_, "tenant_id": item.tenant_id, "pool_id": item.id, "customer_id": customer,
        "hold_id": hold, "hold_shares": hold_shares, "amount": amount,
        "withdrawal_id": withdrawal, "state": RedemptionState.REQUESTED.value,
        "due_at": due_at or at, "created_at": at,
    }  # fmt: skip
    once = insert(models.redemptions).on_conflict_do_nothing(index_elements=["hold_id"])
    await s.execute(once, values)


async def take_up(deps: RouterDeps) -> None:
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
        now, stated = deps.clock.now(), await products.current(s, pool)
        customer, shares = CustomerId(wanted.customer_id), hold.amount
        try:
            await products.check_leave(s, pool, stated, customer, shares, now, held=shares)
        except Refused as error:
            await redeem.redemption_failed(
                s, deps.clock, wanted.tenant_id, wanted.withdrawal_id, error.detail
            )
            return False
        await add_redemption(
            s, pool, customer, hold.id, shares, wanted.amount, wanted.withdrawal_id,
            id_=new_uuid7(), at=now, due_at=now + timedelta(seconds=stated.notice_s),
        )  # fmt: skip
    return True

"""Rows that wait for money to move: fundings (treasury to guard) and redemptions (back)."""

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from custody.core.db import WriteSession
from custody.core.ids import CustomerId
from router import models
from router.books import Pool
from router.states import FundingState, RedemptionState


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

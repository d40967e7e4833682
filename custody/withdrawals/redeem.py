"""The seam to the router: withdrawals that wait for pooled money, and word that it has come.

Custody never calls the router; the router reads `pending_redemptions` and reports back.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from custody.core.clock import Clock
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import (
    CustomerId,
    PoolId,
    TenantId,
    TransferId,
    WithdrawalId,
    format_id,
    new_uuid7,
)
from custody.core.money import AssetId
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.withdrawals import rows
from custody.withdrawals.request import add_hold
from custody.withdrawals.settle import let_go
from custody.withdrawals.states import State


@dataclass(frozen=True, slots=True)
class PendingRedemption:
    """`amount` base units of the asset are wanted; `hold_id` is the hold on the shares."""

    withdrawal_id: WithdrawalId
    tenant_id: TenantId
    customer_id: CustomerId
    pool_id: PoolId
    asset_id: AssetId
    amount: int
    hold_id: UUID


async def pending_redemptions(s: ReadSession) -> list[PendingRedemption]:
    """Oldest first."""
    found = await s.all(
        "SELECT id, tenant_id, customer_id, pool_id, asset_id, pool_amount, share_hold_id"
        " FROM withdrawals WHERE state = 'awaiting_liquidity' AND pool_amount > 0"
        " AND NOT redeemed ORDER BY id LIMIT 2000"
    )
    return [
        PendingRedemption(
            r.id,
            r.tenant_id,
            r.customer_id,
            r.pool_id,
            AssetId(r.asset_id),
            int(r.pool_amount),
            r.share_hold_id,
        )
        for r in found
    ]


async def redemption_done(
    s: WriteSession, tenant_id: TenantId, withdrawal_id: WithdrawalId, amount: int, *, at: datetime
) -> None:
    """The customer's balance has just been credited with `amount`: hold it for the withdrawal.

    Runs in the transaction of that credit. Raises Broken if the withdrawal didn't wait for it.
    """
    w = await rows.get(s, tenant_id, withdrawal_id, lock=True)
    if w.state is not State.AWAITING_LIQUIDITY or w.redeemed or amount != w.pool_amount:
        raise Broken(f"withdrawal {withdrawal_id} did not wait for {amount}")
    hold_id = TransferId(new_uuid7())
    await post_or_raise(
        s,
        [
            Transfer(
                id=hold_id,
                tenant_id=tenant_id,
                debit=await accounts.by_code(
                    s, tenant_id, chart.customer(w.customer_id), w.asset_id
                ),
                credit=await accounts.in_flight(s, tenant_id, w.chain_id, w.asset_id),
                amount=amount,
                kind="pending",
                code="withdrawal.hold",
                event_at=at,
                reference=format_id("withdrawal", withdrawal_id),
            )
        ],
    )
    await add_hold(s, withdrawal_id, hold_id, amount)
    await s.execute(
        "UPDATE withdrawals SET redeemed = true, updated_at = now() WHERE id = :id",
        {"id": withdrawal_id},
    )


async def redemption_failed(
    s: WriteSession, clock: Clock, tenant_id: TenantId, withdrawal_id: WithdrawalId, reason: str
) -> None:
    """The pool cannot give the amount for the shares held: the withdrawal fails, all is let go."""
    w = await rows.get(s, tenant_id, withdrawal_id, lock=True)
    await let_go(s, clock, w, State.FAILED, reason)

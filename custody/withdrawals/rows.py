"""Reading withdrawals."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import (
    CustomerId,
    IntentId,
    PoolId,
    QuoteId,
    TenantId,
    WithdrawalId,
    format_id,
)
from custody.core.money import AssetId, share_asset
from custody.policy import breakers
from custody.withdrawals.states import State


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Amounts in base units: gross = net + network_fee + service_fee.

    `pool_amount` is the part of gross that comes out of a pool; `redeemed` says it has come.
    `payer` is the place that pays: the payout wallet, or the treasury's Safe. Nothing leaves
    before `not_before`, nor while it would cost more than `network_fee_max` wei.
    """

    id: WithdrawalId
    tenant_id: TenantId
    customer_id: CustomerId
    quote_id: QuoteId
    chain_id: int
    asset_id: AssetId
    destination: str
    gross: int
    network_fee: int
    service_fee: int
    net: int
    pool_id: PoolId | None
    pool_amount: int
    share_hold_id: UUID | None
    redeemed: bool
    state: State
    reason: str | None
    intent_id: IntentId
    payout_hold_id: UUID | None
    initiator: str
    payer: str
    not_before: datetime | None
    network_fee_max: int | None
    created_at: datetime


COLUMNS = (
    "id, tenant_id, customer_id, quote_id, chain_id, asset_id, destination, gross, network_fee,"
    " service_fee, net, pool_id, pool_amount, share_hold_id, redeemed, state, reason, intent_id,"
    " payout_hold_id, initiator, payer, not_before, network_fee_max, created_at"
)
_AMOUNTS = ("gross", "network_fee", "service_fee", "net", "pool_amount")


def row_to_withdrawal(row: Any) -> Withdrawal:
    values = dict(row._mapping)
    for name in _AMOUNTS:
        values[name] = int(values[name])
    if values["network_fee_max"] is not None:
        values["network_fee_max"] = int(values["network_fee_max"])
    values["state"] = State(values["state"])
    return Withdrawal(**values)


async def get(
    s: ReadSession, tenant_id: TenantId, withdrawal_id: WithdrawalId, *, lock: bool = False
) -> Withdrawal:
    suffix = " FOR UPDATE" if lock else ""
    row = await s.first(
        f"SELECT {COLUMNS} FROM withdrawals WHERE id = :id AND tenant_id = :tenant{suffix}",
        {"id": withdrawal_id, "tenant": tenant_id},
    )
    if row is None:
        raise NotFound("withdrawal", format_id("withdrawal", withdrawal_id))
    return row_to_withdrawal(row)


async def by_intent(s: ReadSession, intent_id: UUID) -> Withdrawal | None:
    """Locked. None only after a restore: intent and withdrawal are made in one commit."""
    row = await s.first(
        f"SELECT {COLUMNS} FROM withdrawals WHERE intent_id = :id FOR UPDATE", {"id": intent_id}
    )
    return None if row is None else row_to_withdrawal(row)


async def listing(
    s: ReadSession,
    tenant_id: TenantId,
    customer_id: CustomerId | None,
    cursor: UUID | None,
    limit: int,
) -> list[Withdrawal]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM withdrawals WHERE tenant_id = :tenant"
        " AND (CAST(:customer AS uuid) IS NULL OR customer_id = :customer)"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "customer": customer_id, "cursor": cursor, "limit": limit},
    )
    return [row_to_withdrawal(row) for row in rows]


async def in_states(s: ReadSession, states: list[State], now: datetime) -> list[Withdrawal]:
    """Oldest first, over all tenants: what the job has to advance. Those whose time is still to
    come are not looked at."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM withdrawals w WHERE state = ANY(:states)"
        " AND NOT (state = 'scheduled' AND COALESCE(not_before > :now, false))"
        # Those that wait for a person or a lower fee come last: they must not starve the others.
        " ORDER BY state = 'scheduled' OR state = 'screened' AND EXISTS ("
        "SELECT FROM intents i WHERE i.id = w.intent_id AND i.state = 'awaiting_approval'), id"
        " LIMIT 2000",
        {"states": [state.value for state in states], "now": now},
    )
    return [row_to_withdrawal(row) for row in rows]


async def without_proposal(s: ReadSession) -> list[Withdrawal]:
    """What the Safe is to pay and its owners were not yet asked for; oldest first."""
    rows = await s.all(
        f"SELECT {COLUMNS} FROM withdrawals w WHERE state = 'released' AND payer = 'safe'"
        " AND NOT EXISTS (SELECT FROM safe_proposals p WHERE p.withdrawal_id = w.id)"
        " ORDER BY id LIMIT 2000"
    )
    return [row_to_withdrawal(row) for row in rows]


async def stopped(s: ReadSession, w: Withdrawal) -> str | None:
    """Why nothing may be paid of it now: its asset, or the shares it redeems, has a breaker."""
    assets = [w.asset_id]
    if w.pool_id is not None:
        assets.append(share_asset(w.pool_id.hex))
    found = await breakers.stopping(s, w.tenant_id, assets)
    return None if found is None else found.reason


async def holds(s: ReadSession, withdrawal_id: WithdrawalId) -> list[tuple[UUID, int]]:
    """(hold transfer id, amount) of the customer's holds behind a withdrawal."""
    rows = await s.all(
        "SELECT hold_id, amount FROM withdrawal_holds WHERE withdrawal_id = :id ORDER BY hold_id",
        {"id": withdrawal_id},
    )
    return [(row.hold_id, int(row.amount)) for row in rows]

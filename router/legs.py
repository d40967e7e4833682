"""Legs: one venue's part of a plan or of a recall, as rows with states."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import LegId, PlanId, PoolId, TenantId, TransferId, format_id, new_uuid7
from custody.ledger.posting import derived_id
from router import models
from router.books import Pool
from router.moves import Action
from router.states import LEG_ENDS, LegState, move


@dataclass(frozen=True, slots=True)
class Leg:
    """Amounts in base units. `plan_id` is None for what a recall takes out of a venue."""

    id: LegId
    tenant_id: TenantId
    pool_id: PoolId
    plan_id: PlanId | None
    venue_id: str
    action: Action
    amount: int
    state: LegState
    intent_id: UUID | None
    claim_intent_id: UUID | None
    request_id: int | None
    position_before: int | None
    order_id: str | None
    tx_hash: str | None
    final_block: int | None
    received: int | None
    reason: str | None
    created_at: datetime

    @property
    def hold_id(self) -> TransferId:
        """The ledger hold behind an entry."""
        return derived_id(self.id, "hold")

    @property
    def reference(self) -> str:
        return format_id("leg", self.id)


_COLUMNS = (
    "id, tenant_id, pool_id, plan_id, venue_id, action, amount, state, intent_id,"
    " claim_intent_id, request_id, position_before, order_id, tx_hash, final_block, received,"
    " reason, created_at"
)


def _leg(row: Any) -> Leg:
    values = dict(row._mapping)
    for name in ("amount", "request_id", "position_before", "received"):
        values[name] = None if values[name] is None else int(values[name])
    values["action"], values["state"] = Action(values["action"]), LegState(values["state"])
    return Leg(**values)


async def add(
    s: WriteSession,
    pool: Pool,
    plan_id: UUID | None,
    venue_id: str,
    action: Action,
    amount: int,
    *,
    at: datetime,
) -> LegId:
    id_ = LegId(new_uuid7())
    await s.execute(
        models.legs.insert(),
        {
            "id": id_, "tenant_id": pool.tenant_id, "pool_id": pool.id, "plan_id": plan_id,
            "venue_id": venue_id, "action": action.value, "amount": amount,
            "state": LegState.PLANNED.value, "created_at": at,
        },
    )  # fmt: skip
    return id_


async def get(s: ReadSession, leg_id: UUID) -> Leg:
    return _leg(await s.one(f"SELECT {_COLUMNS} FROM legs WHERE id = :id", {"id": leg_id}))


async def by_intent(s: ReadSession, intent_id: UUID) -> Leg | None:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM legs WHERE intent_id = :id OR claim_intent_id = :id",
        {"id": intent_id},
    )
    return None if row is None else _leg(row)


async def of_plan(s: ReadSession, plan_id: UUID) -> list[Leg]:
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM legs WHERE plan_id = :plan ORDER BY id", {"plan": plan_id}
    )
    return [_leg(row) for row in rows]


async def unfinished(s: ReadSession, pool_id: UUID) -> list[Leg]:
    """Everything of a pool that has not ended, oldest first."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM legs WHERE pool_id = :pool AND state <> ALL(:ends) ORDER BY id",
        {"pool": pool_id, "ends": [e.value for e in LEG_ENDS]},
    )
    return [_leg(row) for row in rows]


async def in_states(s: ReadSession, states: Sequence[LegState]) -> list[Leg]:
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM legs WHERE state = ANY(:states) ORDER BY id LIMIT 500",
        {"states": [state.value for state in states]},
    )
    return [_leg(row) for row in rows]


async def advance(
    s: WriteSession,
    leg: Leg,
    new: LegState,
    *,
    at: datetime,
    **columns: object,
) -> bool:
    """Move a leg with its audit entry; False if it was no longer in the state we saw."""
    if not await move(s, "legs", leg.id, leg.state, new, **columns):
        return False
    intent = columns.get("claim_intent_id") or columns.get("intent_id") or leg.intent_id
    data: dict[str, Any] = {
        "leg": leg.reference,
        "plan": None if leg.plan_id is None else format_id("plan", leg.plan_id),
        "pool": format_id("pool", leg.pool_id),
        "venue": leg.venue_id,
        "action": leg.action.value,
        "amount": str(leg.amount),
        "from": leg.state.value,
        "to": new.value,
        "intent": None if intent is None else format_id("intent", UUID(str(intent))),
        "tx_hash": columns.get("tx_hash") or leg.tx_hash,
    }
    await log.append(s, leg.tenant_id, "leg.state", data, at=at)
    return True


async def end(s: WriteSession, leg: Leg, new: LegState, reason: str, *, at: datetime) -> bool:
    """Fail or cancel with a reason."""
    return await advance(s, leg, new, at=at, reason=reason[:500])

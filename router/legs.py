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

RETRY_S = 60
"""What has just failed is not tried again for this long."""
AGAIN = "x"
"""Between a leg's hex id and the number of the attempt in an exchange's order id."""


@dataclass(frozen=True, slots=True)
class Leg:
    """Amounts in base units. `plan_id` is None for what a recall takes out of a venue. `gas_cost`
    and `slippage` are what it was to cost when it was sent, by its simulation; None: not asked."""

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
    order_known: str | None
    tx_hash: str | None
    final_block: int | None
    received: int | None
    reason: str | None
    code: str | None
    gas_cost: int | None
    slippage: int | None
    retry_of: UUID | None
    attempts: int
    retry_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def attempt(self) -> int:
        """How many withdrawals of this leg have failed at the exchange."""
        return int((self.order_id or "").partition(AGAIN)[2] or 0)

    @property
    def next_order_id(self) -> str:
        """The order id of the attempt after a failed one; the first is the leg's own id."""
        return f"{self.id.hex}{AGAIN}{self.attempt + 1}"

    def due(self, now: datetime) -> bool:
        """Whether it is to be started now: planned, or an exit whose pause is over."""
        if self.state is LegState.WAITING:
            return self.retry_at is None or self.retry_at <= now
        return self.state is LegState.PLANNED

    @property
    def hold_id(self) -> TransferId:
        """The ledger hold behind an entry."""
        return derived_id(self.id, "hold")

    @property
    def reference(self) -> str:
        return format_id("leg", self.id)


_COLUMNS = (
    "id, tenant_id, pool_id, plan_id, venue_id, action, amount, state, intent_id,"
    " claim_intent_id, request_id, position_before, order_id, order_known, tx_hash, final_block,"
    " received, reason, code, gas_cost, slippage, retry_of, attempts, retry_at, created_at,"
    " updated_at"
)


def _leg(row: Any) -> Leg:
    values = dict(row._mapping)
    for name in ("amount", "request_id", "position_before", "received", "gas_cost", "slippage"):
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


async def add_rest(
    s: WriteSession,
    leg: Leg,
    amount: int,
    reason: str,
    *,
    attempts: int,
    at: datetime,
    retry_at: datetime,
) -> LegId:
    """What an exit could not take is a leg of its own, which waits; with its audit entry."""
    id_ = LegId(new_uuid7())
    await s.execute(
        models.legs.insert(),
        {
            "id": id_, "tenant_id": leg.tenant_id, "pool_id": leg.pool_id,
            "plan_id": leg.plan_id, "venue_id": leg.venue_id, "action": leg.action.value,
            "amount": amount, "state": LegState.WAITING.value, "reason": reason[:500],
            "code": "exit-waits", "retry_of": leg.id, "attempts": attempts + 1,
            "retry_at": retry_at, "created_at": at,
        },
    )  # fmt: skip
    data = {
        "leg": leg.reference,
        "rest": format_id("leg", id_),
        "pool": format_id("pool", leg.pool_id),
        "venue": leg.venue_id,
        "amount": str(amount),
        "reason": reason[:500],
    }
    await log.append(s, leg.tenant_id, "leg.rest", data, at=at)
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


async def marks(s: ReadSession, pool_id: UUID) -> dict[str, str]:
    """A text for each venue that changes whenever one of its legs is made or moves."""
    rows = await s.all(
        "SELECT venue_id, count(*) || ':' || coalesce(string_agg(id || state || updated_at, ','"
        " ORDER BY id) FILTER (WHERE state <> ALL(:ends)), '') AS mark"
        " FROM legs WHERE pool_id = :pool GROUP BY venue_id",
        {"pool": pool_id, "ends": [e.value for e in LEG_ENDS]},
    )
    return {row.venue_id: row.mark for row in rows}


async def failed_exits(s: ReadSession, pool_id: UUID) -> set[str]:
    """Venues where an exit has failed in the last RETRY_S seconds, by the database's time, or
    waits."""
    rows = await s.all(
        "SELECT DISTINCT venue_id FROM legs WHERE pool_id = :pool AND action = 'exit'"
        " AND (state = 'waiting'"
        " OR state = 'failed' AND updated_at > now() - make_interval(secs => :wait))",
        {"pool": pool_id, "wait": RETRY_S},
    )
    return {row.venue_id for row in rows}


async def rested(s: ReadSession, leg: Leg, seconds: int = RETRY_S) -> bool:
    """Whether the leg has not moved for so long, by the database's time."""
    return bool(
        await s.scalar(
            "SELECT updated_at <= now() - make_interval(secs => :wait) FROM legs WHERE id = :id",
            {"id": leg.id, "wait": seconds},
        )
    )


async def note(s: WriteSession, leg: Leg, reason: str, code: str | None = None) -> None:
    """Say why a leg waits; its state and the time of its last move stay."""
    await s.execute(
        "UPDATE legs SET reason = :reason, code = coalesce(:code, code)"
        " WHERE id = :id AND state = :state",
        {"id": leg.id, "state": leg.state.value, "reason": reason[:500], "code": code},
    )


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
        "amount": str(columns.get("amount", leg.amount)),
        "from": leg.state.value,
        "to": new.value,
        "intent": None if intent is None else format_id("intent", UUID(str(intent))),
        "tx_hash": columns.get("tx_hash") or leg.tx_hash,
    }
    await log.append(s, leg.tenant_id, "leg.state", data, at=at)
    return True


async def end(
    s: WriteSession, leg: Leg, new: LegState, reason: str, *, at: datetime, code: str | None = None
) -> bool:
    """Fail or cancel with a reason, and the names of the objections if there are any."""
    return await advance(s, leg, new, at=at, reason=reason[:500], code=code)

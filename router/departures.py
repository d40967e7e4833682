"""Leave this venue now: one person's order, because it only brings money home.

The order is a row; the job sees to it that an exit is always on its way while anything lies there,
whatever the venue does, and nothing enters until two people have reopened it.
"""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound, Refused
from custody.core.ids import PoolId, TenantId, format_id, new_uuid7
from custody.core.isolation import each
from router import books, legs, models, policies, venue_exits
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.moves import Action
from router.states import DepartureState, LegState, move

logger = logging.getLogger(__name__)

ELSEWHERE = (LegState.QUEUED, LegState.CLAIMING)
"""An exit in a venue's queue: what is still in the venue can be asked for beside it."""


async def order(
    s: WriteSession,
    tenant_id: TenantId,
    pool_id: PoolId,
    venue_id: str,
    *,
    by: str,
    reason: str,
    at: datetime,
) -> UUID:
    """Nothing enters from now on; exits that wait are tried at once. Again is the same order."""
    pool = await books.pool(s, tenant_id, pool_id, lock=True)
    await books.venue(s, pool_id, venue_id)
    found = await _open(s, pool_id, venue_id)
    if found is not None:
        return UUID(str(found.id))
    id_ = new_uuid7()
    await s.execute(
        insert(models.departures).values(
            id=id_, tenant_id=tenant_id, pool_id=pool_id, venue_id=venue_id,
            state=DepartureState.LEAVING.value, ordered_by=by, reason=reason[:500], since=at,
        )
    )  # fmt: skip
    for leg in await legs.unfinished(s, pool.id):
        if leg.venue_id == venue_id and leg.state is LegState.PLANNED:
            if leg.action is Action.ENTER:
                text = f"the venue is being left: {reason}"
                await legs.end(s, leg, LegState.CANCELLED, text, at=at, code="leaving")
        elif leg.venue_id == venue_id and leg.state is LegState.WAITING:
            await s.execute("UPDATE legs SET retry_at = NULL WHERE id = :id", {"id": leg.id})
    data = {"pool": format_id("pool", pool_id), "venue": venue_id, "by": by, "reason": reason[:500]}
    await log.append(s, tenant_id, "venue.leaving", data, at=at)
    return id_


async def reopen(
    s: WriteSession, tenant_id: TenantId, pool_id: PoolId, venue_id: str, *, by: str, at: datetime
) -> DepartureState:
    """The first person's word is kept, a second person's reopens: it lets money in again.

    Raises NotFound without an order, Refused for the same person twice.
    """
    await books.pool(s, tenant_id, pool_id, lock=True)
    row = await _open(s, pool_id, venue_id)
    if row is None:
        raise NotFound("order to leave", venue_id)
    if row.reopen_by is None:
        await s.execute(
            "UPDATE venue_departures SET reopen_by = :by, updated_at = now() WHERE id = :id",
            {"by": by, "id": row.id},
        )
        return DepartureState.LEAVING
    if row.reopen_by == by:
        raise Refused("venue_id", "a second person must agree to reopen it")
    old, new = DepartureState.LEAVING, DepartureState.REOPENED
    await move(s, "venue_departures", row.id, old, new, reopened_by=by)
    data = {
        "pool": format_id("pool", pool_id),
        "venue": venue_id,
        "by": by,
        "first": row.reopen_by,
    }
    await log.append(s, tenant_id, "venue.reopened", data, at=at)
    return new


async def _open(s: ReadSession, pool_id: UUID, venue_id: str) -> Any:
    return await s.first(
        "SELECT id, reopen_by, since FROM venue_departures WHERE pool_id = :pool"
        " AND venue_id = :venue AND state = 'leaving'",
        {"pool": pool_id, "venue": venue_id},
    )


async def step(deps: RouterDeps) -> int:
    """An exit leg for every order that has none and something left to bring home."""
    async with deps.db.read() as s:
        rows = await s.all(
            "SELECT tenant_id, pool_id, venue_id AS id FROM venue_departures"
            " WHERE state = 'leaving' ORDER BY id"
        )
    return await each(logger, "departure", rows, lambda row: _advance(deps, row))


async def _advance(deps: RouterDeps, order_: Any) -> bool:
    async with deps.db.read() as s:
        pool = await books.pool(s, order_.tenant_id, order_.pool_id)
        row = await books.venue(s, pool.id, order_.id)
        if await _busy(s, pool, row):
            return False
        there = await books.posted(s, pool, books.venue_code(row))
    state = await venue_exits.read(deps, pool, row)
    amount = there if state is None else venue_exits.holding(row, state)
    if amount == 0 or (state is None and row.exchange):
        return False
    async with deps.db.write() as s:
        await books.pool(s, pool.tenant_id, pool.id, lock=True)
        found = await _open(s, pool.id, row.id)
        if found is None or await _busy(s, pool, row) or await _crumbs(s, found, pool, row, amount):
            return False
        now = deps.clock.now()
        await legs.add(s, pool, None, row.id, Action.EXIT, amount, at=now)
    return True


async def _busy(s: ReadSession, pool: Pool, row: VenueRow) -> bool:
    return any(
        leg.venue_id == row.id and leg.state not in ELSEWHERE
        for leg in await legs.unfinished(s, pool.id)
    )


async def _crumbs(s: ReadSession, found: Any, pool: Pool, row: VenueRow, amount: int) -> bool:
    """What interest left behind after an exit under this order: less than a ticket stays."""
    policy = await policies.current(s, pool.id)
    if policy is None or amount >= policy.rebalance.ticket:
        return False
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM legs WHERE pool_id = :pool AND venue_id = :venue"
            " AND action = 'exit' AND state IN ('done', 'queued', 'claiming')"
            " AND created_at >= :since)",
            {"pool": pool.id, "venue": row.id, "since": found.since},
        )
    )

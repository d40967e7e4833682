"""Venues that cannot be left: found by proving the way out, flagged, cleared when it works again.

The proof is a simulated exit of all that lies there, never sent. A flagged venue is not entered,
its gains are held back (router/accrual.py), its losses are not, and the pool's holders are told.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chains.errors import CallReverted
from chains.evm.pauses import says_paused
from custody.audit import log
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import format_id, new_uuid7
from custody.core.isolation import each
from custody.parties import places
from router import books, legs, live_guard, models, venue_exits
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.flag_rules import FLAG_AFTER, QUEUE_MAX, Fault, Proof, Verdict, judge
from router.legs import Leg
from router.moves import Action
from router.states import FlagState, LegState, move
from router.venues.factory import NO_ANSWER, adapter
from router.venues.port import VenueState

logger = logging.getLogger(__name__)


async def step(deps: RouterDeps) -> int:
    """Prove the way out of every venue; how many flags changed."""
    async with deps.db.read() as s:
        pools = await books.pools(s)
    return await each(logger, "flags", pools, lambda pool: _pool(deps, pool))


async def _pool(deps: RouterDeps, pool: Pool) -> int:
    async with deps.db.read() as s:
        rows = await books.venues(s, pool.id)
    return await each(logger, "flag", rows, lambda row: _venue(deps, pool, row))


async def _venue(deps: RouterDeps, pool: Pool, row: VenueRow) -> bool:
    async with deps.db.read() as s:
        there = await books.posted(s, pool, books.venue_code(row))
        under_way = [x for x in await legs.unfinished(s, pool.id) if x.venue_id == row.id]
    proof = await prove(deps, pool, row, there, under_way)
    async with deps.db.write() as s:
        await books.pool(s, pool.tenant_id, pool.id, lock=True)
        return await _judge(s, deps, pool, row, proof, there)


async def prove(
    deps: RouterDeps, pool: Pool, row: VenueRow, there: int, under_way: Sequence[Leg]
) -> Proof:
    """Whether all that lies there could leave now. `there` is what the books say."""
    try:
        block = await deps.clients[pool.chain_id].block("latest")
        state = await adapter(deps, pool, row).read(block)
        stuck = _stuck(state, under_way, deps.clock.now())
        if stuck is not None:
            return stuck
        if row.exchange:
            return _redeemable(state)
        return await _simulated(deps, pool, row, state)
    except NO_ANSWER as error:
        return _unreadable(there, f"could not be read: {error}")
    except Exception as error:
        logger.exception("venue not understood", extra={"venue": row.id})
        return _unreadable(there, f"could not be understood: {type(error).__name__}")


def _unreadable(there: int, reason: str) -> Proof:
    return Proof(Fault.UNREADABLE, reason[:500]) if there > 0 else Proof(None)


def _stuck(state: VenueState, under_way: Sequence[Leg], now: datetime) -> Proof | None:
    """An exit that has left us and does not end: in a queue beyond its time, or at an exchange."""
    for leg in under_way:
        if leg.action is not Action.EXIT or leg.state in (LegState.PLANNED, LegState.WAITING):
            continue
        patience = FLAG_AFTER
        if leg.state in (LegState.QUEUED, LegState.CLAIMING):
            patience += timedelta(seconds=2 * state.exit_s) if state.exit_s else QUEUE_MAX
        if now - leg.created_at > patience:
            return Proof(Fault.STUCK, f"{leg.reference} is {leg.state} since {leg.created_at}")
    return None


def _redeemable(state: VenueState) -> Proof:
    if state.withdrawable >= state.position:
        return Proof(None)
    reason = f"{state.withdrawable} of {state.position} can be redeemed"
    return Proof(Fault.NOT_REDEEMABLE, reason)


async def _simulated(deps: RouterDeps, pool: Pool, row: VenueRow, state: VenueState) -> Proof:
    """Raises ChainError if the simulation gave no answer."""
    amount = venue_exits.holding(row, state)
    if amount == 0:
        return Proof(None)
    async with deps.db.read() as s:
        allocator = await places.place(s, pool.tenant_id, pool.chain_id, places.ALLOCATOR)
    intent = venue_exits.intent_of(pool, row, allocator, new_uuid7(), amount, "a proof")
    try:
        await live_guard.simulate(deps, intent)
    except CallReverted as error:
        if says_paused(error.data):
            return Proof(Fault.PAUSED, f"paused: {error.detail}"[:500])
        if state.withdrawable > 0:
            reason = f"{state.withdrawable} of {amount} can leave: {error.detail}"
            return Proof(Fault.PARTIAL, reason[:500])
        return Proof(Fault.FAILING, f"nothing of {amount} can leave: {error.detail}"[:500])
    return Proof(None)


@dataclass(frozen=True, slots=True)
class Flag:
    id: UUID
    state: FlagState
    since: datetime


async def _judge(
    s: WriteSession, deps: RouterDeps, pool: Pool, row: VenueRow, proof: Proof, there: int
) -> bool:
    flag = await _open(s, pool.id, row.id)
    now = deps.clock.now()
    flagged = flag is not None and flag.state is FlagState.FLAGGED
    verdict = judge(proof, None if flag is None else flag.since, flagged, now, FLAG_AFTER)
    if verdict is Verdict.NOTHING:
        return False
    if verdict is Verdict.CLEAR:
        assert flag is not None
        return await _clear(s, pool, row, flag, now)
    if flag is None:
        flag = await _doubt(s, pool, row, proof, now)
    if verdict is Verdict.FLAG:
        await _flag(s, pool, row, flag, proof, there, now)
    return True


async def _open(s: ReadSession, pool_id: UUID, venue_id: str) -> Flag | None:
    row = await s.first(
        "SELECT id, state, since FROM venue_flags WHERE pool_id = :pool AND venue_id = :venue"
        " AND state <> 'cleared'",
        {"pool": pool_id, "venue": venue_id},
    )
    return None if row is None else Flag(row.id, FlagState(row.state), row.since)


async def _doubt(s: WriteSession, pool: Pool, row: VenueRow, proof: Proof, now: datetime) -> Flag:
    flag = Flag(new_uuid7(), FlagState.DOUBTFUL, now)
    await s.execute(
        models.flags.insert(),
        {
            "id": flag.id, "tenant_id": pool.tenant_id, "pool_id": pool.id,
            "venue_id": row.id, "state": flag.state.value, "code": str(proof.fault),
            "reason": proof.reason, "since": now,
        },
    )  # fmt: skip
    logger.warning("way out is doubtful", extra={"venue": row.id, "reason": proof.reason})
    return flag


async def _flag(
    s: WriteSession, pool: Pool, row: VenueRow, flag: Flag, proof: Proof, there: int, now: datetime
) -> None:
    await move(
        s, "venue_flags", flag.id, flag.state, FlagState.FLAGGED, code=str(proof.fault),
        reason=proof.reason, flagged_at=now,
    )  # fmt: skip
    logger.error("venue flagged", extra={"venue": row.id, "reason": proof.reason})
    data = {
        "pool": format_id("pool", pool.id),
        "venue": row.id,
        "code": str(proof.fault),
        "reason": proof.reason,
        "since": iso_us(flag.since),
        "amount": str(there),
    }
    await log.append(s, pool.tenant_id, "pool.flagged", data, at=now)


async def _clear(s: WriteSession, pool: Pool, row: VenueRow, flag: Flag, now: datetime) -> bool:
    """A doubt that never was a flag ends without a word to anybody."""
    moved = await move(s, "venue_flags", flag.id, flag.state, FlagState.CLEARED, cleared_at=now)
    if moved and flag.state is FlagState.FLAGGED:
        data = {
            "pool": format_id("pool", pool.id),
            "venue": row.id,
            "code": "exit-works",
            "since": iso_us(flag.since),
        }
        await log.append(s, pool.tenant_id, "pool.cleared", data, at=now)
    return moved


async def notices(s: ReadSession, pool: Pool) -> list[dict[str, Any]]:
    """What the pool's holders are told: venues whose money cannot come back now, by id."""
    rows = await s.all(
        "SELECT venue_id, code, reason, since, flagged_at FROM venue_flags"
        " WHERE pool_id = :pool AND state = 'flagged' ORDER BY venue_id",
        {"pool": pool.id},
    )
    venues = {v.id: v for v in await books.venues(s, pool.id)}
    return [
        {
            "venue": row.venue_id,
            "code": row.code,
            "reason": row.reason,
            "since": iso_us(row.since),
            "amount": str(await books.posted(s, pool, books.venue_code(venues[row.venue_id]))),
        }
        for row in rows
    ]

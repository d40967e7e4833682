"""Venues whose rate or price has jumped: no entry until they have been calm for a while (Harvest).

One row an episode. Exits go on.
"""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from chains.types import BlockRef
from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import format_id, new_uuid7
from router import curve_json, guard, models
from router.books import Pool
from router.curves import Curve
from router.objections import Code, Objection
from router.states import HaltState, move
from router.venues.port import VenueState

logger = logging.getLogger(__name__)

CALM_READS = 6
"""Reads in a row without a jump, each at a block of its own: a minute at the usual pace. Whoever
holds a market off its price for so long pays for it in every block."""


async def open_halts(s: ReadSession, pool_id: UUID) -> dict[str, Any]:
    """Rows (id, code, reason, block_number, calm_reads, since) by venue."""
    rows = await s.all(
        "SELECT id, venue_id, code, reason, block_number, calm_reads, since FROM venue_halts"
        " WHERE pool_id = :pool AND state = 'halted'",
        {"pool": pool_id},
    )
    return {row.venue_id: row for row in rows}


async def last_curve(s: ReadSession, pool_id: UUID, venue_id: str) -> Curve | None:
    """Of the newest stored read of a venue."""
    found = await s.scalar(
        "SELECT state -> 'curve' FROM rate_reads WHERE pool_id = :pool AND venue_id = :venue"
        " ORDER BY at DESC, id DESC LIMIT 1",
        {"pool": pool_id, "venue": venue_id},
    )
    return None if found is None else curve_json.from_json(found)


async def halt(
    s: WriteSession, pool: Pool, venue_id: str, why: Objection, block: BlockRef, *, at: datetime
) -> None:
    """Begin an episode; in one that runs already, the calm begins anew."""
    values = {
        "id": new_uuid7(), "tenant_id": pool.tenant_id, "pool_id": pool.id,
        "venue_id": venue_id, "state": HaltState.HALTED.value, "code": why.code.value,
        "reason": why.reason[:500], "block_number": block.number, "since": at,
    }  # fmt: skip
    made = await s.execute(insert(models.halts).values(values).on_conflict_do_nothing())
    if made.rowcount == 0:
        await s.execute(
            "UPDATE venue_halts SET calm_reads = 0, block_number = :block, updated_at = now()"
            " WHERE pool_id = :pool AND venue_id = :venue AND state = 'halted'",
            {"pool": pool.id, "venue": venue_id, "block": block.number},
        )
        return
    logger.warning("venue halted", extra={"venue": venue_id, "reason": why.reason})
    data = {
        "pool": format_id("pool", pool.id),
        "venue": venue_id,
        "code": why.code.value,
        "reason": why.reason,
        "block_number": str(block.number),
    }
    await log.append(s, pool.tenant_id, "venue.halted", data, at=at)


async def watch(
    s: WriteSession, pool: Pool, venue_id: str, state: VenueState, jump_bps: int, *, at: datetime
) -> None:
    """Compare a read that is about to be stored with the one before it.

    Requires the pool's lock. A block that was looked at already is no calm read.
    """
    before = await last_curve(s, pool.id, venue_id)
    x = max(state.position, 1)
    if before is not None and guard.jumped(before, state.curve, x, jump_bps):
        reason = f"the rate has jumped: {guard.rates_text(before, state.curve, x)}"
        await halt(s, pool, venue_id, Objection(Code.RATE_JUMP, reason), state.as_of, at=at)
        return
    row = (await open_halts(s, pool.id)).get(venue_id)
    if row is None or row.block_number >= state.as_of.number:
        return
    if row.calm_reads + 1 >= CALM_READS:
        await _over(s, pool, venue_id, row.id, at)
        return
    await s.execute(
        "UPDATE venue_halts SET calm_reads = calm_reads + 1, block_number = :block,"
        " updated_at = now() WHERE id = :id",
        {"id": row.id, "block": state.as_of.number},
    )


async def _over(s: WriteSession, pool: Pool, venue_id: str, id_: UUID, at: datetime) -> None:
    if not await move(s, "venue_halts", id_, HaltState.HALTED, HaltState.OVER):
        return
    data = {"pool": format_id("pool", pool.id), "venue": venue_id}
    await log.append(s, pool.tenant_id, "venue.calm", data, at=at)

"""What holders who wait lack beyond the idle money and what is coming home anyway."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from custody.core.db import ReadSession
from custody.ledger import chart
from router import books, legs, owed
from router.books import Pool, VenueRow
from router.legs import Leg
from router.moves import Action
from router.states import LegState

COMING = timedelta(minutes=10)
"""How long an exit from an exchange is counted on."""


async def lacking(
    s: ReadSession, pool: Pool, rows: Mapping[str, VenueRow], now: datetime, ticket: int
) -> int:
    """Base units to be asked for; 0 or less: none.

    A crumb beside what is coming is not asked for: a venue's queue would be paid for twice, and a
    request too small for it would revert and bar the venue to all others.
    """
    wanted = await owed.reserved(s, pool, now)
    if wanted == 0:
        return 0
    coming = sum(
        leg.amount
        for leg in await legs.unfinished(s, pool.id)
        if leg.action is Action.EXIT
        and leg.state is not LegState.WAITING
        and not _doubtful(leg, rows[leg.venue_id], now)
    )
    short = wanted - await books.available(s, pool, chart.guard(pool.id)) - coming
    if coming > 0 and 0 < short <= await owed.crumb(s, pool, now, ticket):
        return 0
    return short


def _doubtful(leg: Leg, row: VenueRow, now: datetime) -> bool:
    """An exchange's exit that holders should not wait for: too old, or refused once already.

    By the wall clock, which the leg's creation is in too: an exchange keeps no chain's time, and
    a chain that stands still must not make its exits look young.
    """
    return row.exchange and (leg.attempt > 0 or now - leg.created_at > COMING)

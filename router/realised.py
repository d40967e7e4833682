"""What leaves a venue, as journals: beyond the books it is yield that no accrual has seen yet."""

from datetime import datetime

from custody.core.db import WriteSession
from custody.core.ids import AccountId
from custody.ledger import chart
from custody.ledger.posting import Transfer
from router import books, journals
from router.books import Pool, VenueRow
from router.legs import Leg

REALISED_CODE = "yield.realised"


async def left(
    s: WriteSession,
    pool: Pool,
    row: VenueRow,
    leg: Leg,
    to: AccountId,
    amount: int,
    role: str,
    code: str,
    *,
    at: datetime,
    block: int | None = None,
) -> list[Transfer]:
    """`to` <- the venue for all of `amount`, after the venue <- the holders for the surplus."""
    venue = await books.account(s, pool, books.venue_code(row))
    journal = journals.moved(
        pool, leg.id, role, to, venue, amount, code, at=at, block=block, reference=leg.reference
    )
    surplus = amount - await books.posted(s, pool, books.venue_code(row))
    if surplus <= 0:
        return [journal]
    owed = await books.account(s, pool, chart.pool(pool.id))
    realised = journals.moved(
        pool, leg.id, "surplus", venue, owed, surplus, REALISED_CODE, at=at, block=block,
        reference=leg.reference,
    )  # fmt: skip
    return [realised, journal]

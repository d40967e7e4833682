"""What a pool owes at this moment to those who wait for its money.

An exit within its notice need not be paid yet. What it will take is set aside only when it has to
be: as long before it is due as the slowest of the pool's venues takes to give money back, and a
margin for one that does not give it at the first try.
"""

from datetime import datetime, timedelta

from custody.core.db import ReadSession
from router import books
from router.books import Pool

MARGIN = timedelta(hours=6)
"""As long as an exit may fail before its venue counts as one that cannot be left."""
_ROWS = """
SELECT amount, hold_shares FROM redemptions WHERE pool_id = :pool
AND state IN ('requested', 'recalling') AND due_at <= coalesce(:by, 'infinity'::timestamptz)
UNION ALL SELECT NULL, hold_shares - shares FROM redemptions WHERE pool_id = :pool
AND state = 'releasing' AND withdrawal_id IS NULL AND shares < hold_shares
"""
_LATER = """
SELECT EXISTS (SELECT FROM redemptions WHERE pool_id = :pool
               AND state IN ('requested', 'recalling') AND due_at > :by)
"""
_SLOWEST = """
SELECT bool_and(seen.exit_s IS NOT NULL) AS known, max(seen.exit_s) AS exit_s
FROM venues AS v LEFT JOIN LATERAL (
    SELECT CAST(r.state ->> 'exit_s' AS bigint) AS exit_s FROM rate_reads AS r
    WHERE r.pool_id = v.pool_id AND r.venue_id = v.id ORDER BY r.at DESC LIMIT 1
) AS seen ON true
WHERE v.pool_id = :pool
"""


async def asked(s: ReadSession, pool: Pool, by: datetime | None = None) -> int:
    """What waiting redemptions will take out of the guard (not yet under a hold there); with `by`
    only those that are due until then.

    While a part of one is on its way, the rest of its shares waits on.
    """
    totals = await books.totals(s, pool)
    rows = await s.all(_ROWS, {"pool": pool.id, "by": by})
    return sum(
        totals.value_down(int(r.hold_shares)) if r.amount is None else int(r.amount) for r in rows
    )


async def reserved(s: ReadSession, pool: Pool, now: datetime) -> int:
    """What has to be set aside now for those who wait."""
    return await asked(s, pool, await until(s, pool, now))


async def until(s: ReadSession, pool: Pool, now: datetime) -> datetime | None:
    """Until when exits that fall due have to be thought of now; None: all of them.

    That is so where a venue does not say how long it takes, or was never read.
    """
    if not await s.scalar(_LATER, {"pool": pool.id, "by": now}):
        return None
    row = await s.one(_SLOWEST, {"pool": pool.id})
    if not row.known:
        return None
    return now + timedelta(seconds=int(row.exit_s)) + MARGIN

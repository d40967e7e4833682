"""What a pool owes at this moment to those who wait for its money."""

from custody.core.db import ReadSession
from router import books
from router.books import Pool


async def reserved(s: ReadSession, pool: Pool) -> int:
    """What waiting redemptions will take out of the guard (not yet under a hold there).

    While a part of one is on its way, the rest of its shares waits on.
    """
    totals = await books.totals(s, pool)
    rows = await s.all(
        "SELECT amount, hold_shares FROM redemptions WHERE pool_id = :pool"
        " AND state IN ('requested', 'recalling')"
        " UNION ALL SELECT NULL, hold_shares - shares FROM redemptions WHERE pool_id = :pool"
        " AND state = 'releasing' AND withdrawal_id IS NULL AND shares < hold_shares",
        {"pool": pool.id},
    )
    return sum(
        totals.value_down(int(r.hold_shares)) if r.amount is None else int(r.amount) for r in rows
    )

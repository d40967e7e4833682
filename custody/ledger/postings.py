"""Postings: what statements and past balances are read from, written behind the transfers.

Posting keeps no index by account; this job makes one, call by call, and the balance after each
move with it. Readers add what it has not reached, so nothing is ever missing: a statement only
takes longer while the job is behind.
"""

from custody.core.db import Database, WriteSession

STEP = 20_000
"""Transfers of one transaction: about a fifth of a second."""


async def follow(s: WriteSession, limit: int = STEP) -> int:
    """Write the postings of the oldest calls, about `limit` transfers; how many there were.

    Two at once are fine: one of them does nothing.
    """
    return int(await s.scalar("SELECT ledger_follow(:limit)", {"limit": limit}))


async def follow_all(db: Database) -> int:
    """Follow everything that is committed now."""
    total = 0
    while True:
        async with db.write() as s:
            count = await follow(s)
        total += count
        if count < STEP:
            return total

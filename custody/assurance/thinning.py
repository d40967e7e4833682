"""Checkpoints that nobody needs any more are removed: a busy log signs twenty of them a second.

What stays for ever: the first and the last of each hour and of each interval of anchoring (the
report on anchors judges past intervals by them), and every one that an anchor, a proof of one, a
fork or a statement of others is about; solvency epochs prove by anchored ones. Of the last day
before the newest all stay. Everything else follows from the entries: a root of any size, and its
consistency with what is kept.

Triggers of the database refuse more than that, whoever asks; of intervals they do not know, only of
hours. A batch and the place up to which the log was looked through are one commit: killed anywhere,
the next run goes on from there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from custody.core.db import Database, WriteSession

KEPT = timedelta(days=1)
HOUR_S = 3600
BATCH = 1_000
"""Checkpoints that one commit looks at."""
RUN_MAX = 60
"""Batches of one run: far above what a busy log signs between two of them."""


@dataclass(frozen=True, slots=True)
class Signed:
    """That a checkpoint of `size` was signed `at` some time."""

    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Sizes that may go, and the size up to which has been looked."""

    gone: list[int]
    looked: int


def choose(
    rows: Sequence[Signed], pinned: Collection[int], until: datetime, interval_s: int
) -> Batch | None:
    """What goes of all `rows` but the last, which only tells whether the one before it ends its
    hour; None if there is nothing to look at. Pure. Requires rows in order of size.

    Times are our clock's and may go back: what counts is whether the next larger one is of another
    hour or interval.
    """
    gone, looked = list[int](), None
    for row, after in pairwise(rows):
        if row.at > until:
            break
        looked = row.size
        same = _spans(row.at, interval_s) == _spans(after.at, interval_s)
        if same and row.size not in pinned:
            gone.append(row.size)
    return None if looked is None else Batch(gone, looked)


def _spans(at: datetime, interval_s: int) -> tuple[int, int]:
    """Its hour and its interval, counted from 1970 as the report on anchors does."""
    second = int(at.timestamp())
    return second // HOUR_S, second // interval_s


async def run(db: Database, interval_s: int) -> int:
    """Look through what has grown a day old; how many checkpoints were removed."""
    total = 0
    for _ in range(RUN_MAX):
        found = await step(db, interval_s)
        if found is None:
            break
        total += len(found.gone)
    return total


# The lock on the place keeps two workers from looking at the same rows.
_PLACE = "SELECT size FROM checkpoint_thinning FOR UPDATE"
_ROWS = """
SELECT size, signed_at AS at FROM audit_checkpoints
WHERE size > greatest(:after, (SELECT min(size) FROM audit_checkpoints))
ORDER BY size LIMIT :limit
"""
_NEWEST = "SELECT signed_at FROM audit_checkpoints ORDER BY size DESC LIMIT 1"
_PINNED = """
SELECT size FROM anchors WHERE size BETWEEN :first AND :last
UNION SELECT size FROM anchor_proofs WHERE size BETWEEN :first AND :last
UNION SELECT size FROM log_forks WHERE size BETWEEN :first AND :last
UNION SELECT size FROM log_statements WHERE size BETWEEN :first AND :last
"""


async def step(db: Database, interval_s: int, batch: int = BATCH) -> Batch | None:
    """One commit; None where nothing of that age is left to look at."""
    async with db.write() as s:
        after = await s.scalar(_PLACE)
        found = await s.all(_ROWS, {"after": after, "limit": batch + 1})
        if len(found) < 2:
            return None
        rows = [Signed(row.size, row.at) for row in found]
        span = {"first": rows[0].size, "last": rows[-1].size}
        pinned = {row.size for row in await s.all(_PINNED, span)}
        until = await s.scalar(_NEWEST) - KEPT
        chosen = choose(rows, pinned, until, interval_s)
        if chosen is not None:
            await _remove(s, chosen)
    return chosen


async def _remove(s: WriteSession, chosen: Batch) -> None:
    if chosen.gone:
        sizes = {"sizes": chosen.gone}
        await s.execute("DELETE FROM audit_checkpoints WHERE size = ANY(:sizes)", sizes)
        await s.execute("DELETE FROM audit_roots WHERE size = ANY(:sizes)", sizes)
    await s.execute("UPDATE checkpoint_thinning SET size = :size", {"size": chosen.looked})

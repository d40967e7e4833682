"""Number what is committed. The one place where an entry of the log gets its number.

A number comes from the order in which this job sees committed entries, never from an identity
column: a transaction that wrote first and committed last is numbered when it is seen, and nobody
who follows the numbers can have passed it. The caller holds a lease; a lock inside keeps two
runs from colliding even without one.
"""

from dataclasses import dataclass

from custody.core.db import Database, WriteSession

BATCH = 1_000

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('audit.sequence', 13))"

# Two statements on purpose: the snapshot of the second is taken after the lock is held.
# `ordinal` orders a batch by cause (who commits before another writes stands before it), whatever
# the clock does.
_NUMBER = """
WITH next AS (
  SELECT coalesce(max(seq) + 1, 0) AS seq FROM audit_sequence
), batch AS (
  SELECT p.ordinal, p.entry_id, e.body, sha256('\\x00'::bytea || e.body) AS leaf_hash,
         next.seq + row_number() OVER (ORDER BY p.ordinal) - 1 AS seq
  FROM audit_pending p JOIN audit_entries e ON e.id = p.entry_id, next
  ORDER BY p.ordinal LIMIT :batch
), numbered AS (
  INSERT INTO audit_sequence (seq, entry_id, leaf_hash)
  SELECT seq, entry_id, leaf_hash FROM batch
)
DELETE FROM audit_pending USING batch WHERE audit_pending.ordinal = batch.ordinal
RETURNING batch.seq, batch.body, batch.leaf_hash
"""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An entry with its number; `body` is what the leaf hash is over."""

    seq: int
    body: bytes
    leaf_hash: bytes


async def number(s: WriteSession, batch: int = BATCH) -> list[Numbered]:
    """Give up to `batch` committed entries their numbers, in the caller's transaction.

    Nobody else numbers until that one ends.
    """
    await s.execute(LOCK)
    found = await s.all(_NUMBER, {"batch": batch})
    numbered = (Numbered(row.seq, row.body, row.leaf_hash) for row in found)
    return sorted(numbered, key=lambda entry: entry.seq)


async def run_once(db: Database, batch: int = BATCH) -> int:
    """Number up to `batch` committed entries in one transaction; how many there were."""
    async with db.write() as s:
        return len(await number(s, batch))


async def run_all(db: Database) -> int:
    """Number everything that is committed now."""
    total = 0
    while count := await run_once(db):
        total += count
    return total

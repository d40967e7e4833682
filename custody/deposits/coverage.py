"""What of a chain was read: headers of the newest blocks, and ranges from the start to the cursor.

A range is what one commit read: the blocks after `after_block` up to `last_block`, between two
hashes. Ranges below the kept headers are merged into one, so there are never many. They move with
the cursor in its commit, so a block that was never read leaves a hole that fsck finds.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from chains.types import BlockRef, Header
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken

REORG_DEPTH_MAX = 256
"""How deep a reorg is followed. One that is deeper halts the chain for a person."""
HEADERS_KEPT = 2 * REORG_DEPTH_MAX
"""So that after the deepest one there are enough left to follow another."""


async def begin(s: WriteSession, chain_id: int, block: BlockRef) -> None:
    """Start to read a chain after `block`, which must be final: no reorg is followed below it."""
    chain = {"chain": chain_id, "block": block.number, "hash": block.hash}
    await s.execute(
        "INSERT INTO chain_cursors (chain_id, block_number, start_block)"
        " VALUES (:chain, :block, :block)",
        chain,
    )
    await s.execute(
        "INSERT INTO chain_blocks (chain_id, block_number, block_hash)"
        " VALUES (:chain, :block, :hash)",
        chain,
    )
    await s.execute(
        "INSERT INTO chain_ranges (chain_id, after_block, last_block, after_hash, last_hash)"
        " VALUES (:chain, :block, :block, :hash, :hash)",
        chain,
    )


async def hash_at(s: ReadSession, chain_id: int, number: int) -> str | None:
    """The stored hash of a block; None if it is not kept."""
    found: str | None = await s.scalar(
        "SELECT block_hash FROM chain_blocks WHERE chain_id = :chain AND block_number = :number",
        {"chain": chain_id, "number": number},
    )
    return found


async def extend(s: WriteSession, chain_id: int, headers: Sequence[Header]) -> None:
    """Move cursor, headers and ranges over blocks that link and stand on the last one.

    Raises Broken if they do not follow on what was read: somebody else has moved the cursor.
    """
    first, last = headers[0], headers[-1]
    at = {
        "chain": chain_id,
        "after": first.block.number - 1,
        "after_hash": first.parent_hash,
        "last": last.block.number,
        "last_hash": last.block.hash,
    }
    follows = await s.execute(
        "INSERT INTO chain_ranges (chain_id, after_block, last_block, after_hash, last_hash)"
        " SELECT chain_id, last_block, :last, last_hash, :last_hash FROM chain_ranges"
        " WHERE chain_id = :chain AND last_block = :after AND last_hash = :after_hash",
        at,
    )
    moved = await s.execute(
        "UPDATE chain_cursors SET block_number = :last, updated_at = now()"
        " WHERE chain_id = :chain AND block_number = :after AND NOT halted",
        {k: at[k] for k in ("chain", "after", "last")},
    )
    if (follows.rowcount, moved.rowcount) != (1, 1):
        raise Broken(
            f"chain {chain_id}: block {first.block.number} does not follow on what was read"
        )
    await _keep(s, chain_id, headers)


async def _keep(s: WriteSession, chain_id: int, headers: Sequence[Header]) -> None:
    oldest = headers[-1].block.number - HEADERS_KEPT
    await s.execute(
        "INSERT INTO chain_blocks (chain_id, block_number, block_hash, parent_hash)"
        " VALUES (:chain, :number, :hash, :parent)",
        [
            {
                "chain": chain_id,
                "number": h.block.number,
                "hash": h.block.hash,
                "parent": h.parent_hash,
            }
            for h in headers
        ],
    )
    await s.execute(
        "DELETE FROM chain_blocks WHERE chain_id = :chain AND block_number < :oldest",
        {"chain": chain_id, "oldest": oldest},
    )
    await _merge(s, chain_id, oldest)


async def _merge(s: WriteSession, chain_id: int, oldest: int) -> None:
    """Make one of the ranges below the kept headers; with a hole between them all stay."""
    rows = await s.all(
        "SELECT after_block, last_block, after_hash, last_hash FROM chain_ranges"
        " WHERE chain_id = :chain AND last_block < :oldest ORDER BY last_block",
        {"chain": chain_id, "oldest": oldest},
    )
    if len(rows) < 2 or holes(rows):
        return
    last = {"chain": chain_id, "last": rows[-1].last_block}
    await s.execute("DELETE FROM chain_ranges WHERE chain_id = :chain AND last_block < :last", last)
    await s.execute(
        "UPDATE chain_ranges SET after_block = :after, after_hash = :hash"
        " WHERE chain_id = :chain AND last_block = :last",
        {**last, "after": rows[0].after_block, "hash": rows[0].after_hash},
    )


def holes(ranges: Sequence[Any]) -> list[str]:
    """Where ranges, in order, do not follow on each other."""
    found = []
    for one, next_ in pairwise(ranges):
        if next_.after_block != one.last_block:
            found.append(f"read up to {one.last_block}, then on after {next_.after_block}")
        elif next_.after_hash != one.last_hash:
            found.append(f"what was read after {one.last_block} stands on another block")
    return found


async def cut(s: WriteSession, chain_id: int, ancestor: int) -> None:
    """Forget what was read above `ancestor`, a block whose header is kept. Raises Broken."""
    block_hash = await hash_at(s, chain_id, ancestor)
    if block_hash is None:
        raise Broken(f"chain {chain_id}: the header of block {ancestor} is not kept")
    at = {"chain": chain_id, "ancestor": ancestor}
    await s.execute(
        "DELETE FROM chain_blocks WHERE chain_id = :chain AND block_number > :ancestor", at
    )
    await s.execute(
        "DELETE FROM chain_ranges WHERE chain_id = :chain AND after_block >= :ancestor"
        " AND last_block > :ancestor",
        at,
    )
    await s.execute(
        "UPDATE chain_ranges SET last_block = :ancestor, last_hash = :hash"
        " WHERE chain_id = :chain AND last_block > :ancestor",
        {**at, "hash": block_hash},
    )
    await s.execute(
        "UPDATE chain_cursors SET block_number = :ancestor, updated_at = now()"
        " WHERE chain_id = :chain",
        at,
    )

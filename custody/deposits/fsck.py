"""What was read of each chain has no hole, and hangs together by hash. Finds, repairs nothing.

Reads everything it judges; run it in one snapshot (`Database.snapshot`).
"""

from custody.core.db import ReadSession
from custody.deposits.coverage import REORG_DEPTH_MAX, holes
from custody.ledger.fsck import Break

# Each is one query that finds nothing where all is well, and answers (subject, detail).
_RULES = {
    "cursor": """
        SELECT 'chain ' || c.chain_id AS subject,
               'the cursor is at ' || c.block_number || ', read is up to '
               || COALESCE(max(r.last_block)::text, 'nothing') AS detail
        FROM chain_cursors c LEFT JOIN chain_ranges r ON r.chain_id = c.chain_id
        GROUP BY c.chain_id, c.block_number
        HAVING max(r.last_block) IS DISTINCT FROM c.block_number
    """,
    "start": """
        SELECT 'chain ' || c.chain_id AS subject,
               'reading began after ' || c.start_block || ', on record is what comes after '
               || min(r.after_block) AS detail
        FROM chain_cursors c JOIN chain_ranges r ON r.chain_id = c.chain_id
        GROUP BY c.chain_id, c.start_block HAVING min(r.after_block) <> c.start_block
    """,
    "header_missing": """
        SELECT 'chain ' || k.chain_id || ' block ' || n AS subject,
               'its header is not kept' AS detail
        FROM (
            SELECT chain_id, block_number AS last,
                   GREATEST(block_number - :kept, start_block) AS oldest
            FROM chain_cursors
        ) k CROSS JOIN LATERAL generate_series(k.oldest, k.last) AS n
        WHERE NOT EXISTS (
            SELECT FROM chain_blocks b WHERE b.chain_id = k.chain_id AND b.block_number = n)
    """,
    "header_beyond": """
        SELECT 'chain ' || b.chain_id || ' block ' || b.block_number AS subject,
               'its header is kept, but it was not read' AS detail
        FROM chain_blocks b LEFT JOIN chain_cursors c ON c.chain_id = b.chain_id
        WHERE c.block_number IS NULL OR b.block_number > c.block_number
    """,
    "header_link": """
        SELECT 'chain ' || b.chain_id || ' block ' || b.block_number AS subject,
               'stands on another block than is kept' AS detail
        FROM chain_blocks b
        JOIN chain_blocks p ON p.chain_id = b.chain_id AND p.block_number = b.block_number - 1
        WHERE b.parent_hash <> p.block_hash
    """,
    "range_hash": """
        SELECT 'chain ' || r.chain_id || ' block ' || b.block_number AS subject,
               'was read with another hash than is kept' AS detail
        FROM chain_ranges r JOIN chain_blocks b ON b.chain_id = r.chain_id
        AND ((b.block_number = r.last_block AND b.block_hash <> r.last_hash)
          OR (b.block_number = r.after_block AND b.block_hash <> r.after_hash))
    """,
    "deposit_block": """
        SELECT 'deposit ' || d.id AS subject, 'is of a block that is not the one kept' AS detail
        FROM deposits d JOIN chain_blocks b
        ON b.chain_id = d.chain_id AND b.block_number = d.block_number
        WHERE d.state <> 'orphaned' AND d.block_hash <> b.block_hash
    """,
}


async def check(s: ReadSession) -> list[Break]:
    """Everything that does not hold, in the order of the rules."""
    breaks = []
    for rule, query in _RULES.items():
        params = {"kept": REORG_DEPTH_MAX} if ":kept" in query else None
        breaks += [Break(rule, r.subject, r.detail) for r in await s.all(query, params)]
    return breaks + await _ranges(s)


async def _ranges(s: ReadSession) -> list[Break]:
    chains = await s.all("SELECT DISTINCT chain_id FROM chain_ranges ORDER BY chain_id")
    breaks = []
    for chain in chains:
        rows = await s.all(
            "SELECT after_block, last_block, after_hash, last_hash FROM chain_ranges"
            " WHERE chain_id = :chain ORDER BY last_block",
            {"chain": chain.chain_id},
        )
        breaks += [Break("range_hole", f"chain {chain.chain_id}", hole) for hole in holes(rows)]
    return breaks

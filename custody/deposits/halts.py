"""A chain whose reorg went deeper than is followed by itself: what a person sees, and the way on.

Nothing is read or credited there until somebody has looked. What resuming takes back is what the
endpoints, by quorum, no longer have; it is booked as any reorg is.
"""

from dataclasses import dataclass

from chains.evm.blocks import SeenBlock, common_ancestor
from custody.core.db import ReadSession
from custody.core.errors import Conflict
from custody.deposits import reorg
from custody.deposits.deps import DepositDeps


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a chain has been read, and since which block."""

    chain_id: int
    start_block: int
    block_number: int
    halted: bool


@dataclass(frozen=True, slots=True)
class Halt:
    """`ancestor` is the newest kept block that is still on the chain, None if none is; above it are
    `deposits`, of which `credited` would be reversed."""

    reading: Reading
    ancestor: int | None
    deposits: int
    credited: int

    @property
    def depth(self) -> int | None:
        """How many blocks would be forgotten."""
        return None if self.ancestor is None else self.reading.block_number - self.ancestor


async def readings(s: ReadSession) -> list[Reading]:
    rows = await s.all(
        "SELECT chain_id, start_block, block_number, halted FROM chain_cursors ORDER BY chain_id"
    )
    return [Reading(r.chain_id, int(r.start_block), int(r.block_number), r.halted) for r in rows]


async def examine(deps: DepositDeps, chain_id: int) -> Halt:
    """What a halted chain lost. Raises Conflict if it is not halted, ChainError where the chain
    cannot be asked."""
    async with deps.db.read() as s:
        reading = next((r for r in await readings(s) if r.chain_id == chain_id), None)
        headers = await s.all(
            "SELECT block_number, block_hash FROM chain_blocks WHERE chain_id = :chain",
            {"chain": chain_id},
        )
    if reading is None or not reading.halted:
        raise Conflict(f"chain {chain_id} is not halted")
    client = deps.clients[chain_id]
    head = await client.height()
    kept = [SeenBlock(r.block_number, r.block_hash) for r in headers if r.block_number <= head]
    ancestor = await common_ancestor(client, kept)
    async with deps.db.read() as s:
        found = await s.one(
            "SELECT count(*) AS n, count(*) FILTER (WHERE state = 'credited') AS credited"
            " FROM deposits WHERE chain_id = :chain AND block_number > :ancestor"
            " AND state <> 'orphaned'",
            {"chain": chain_id, "ancestor": -1 if ancestor is None else ancestor},
        )
    return Halt(reading, ancestor, found.n, found.credited)


async def resume(deps: DepositDeps, chain_id: int) -> Halt:
    """Rewind to the ancestor and let the scanner go on from there. Raises as `examine`, and
    Conflict where no kept block is on the chain: then only a new start can help."""
    halt = await examine(deps, chain_id)
    if halt.ancestor is None:
        raise Conflict(f"no block kept of chain {chain_id} is on the chain")
    async with deps.db.write() as s:
        await reorg.rewind(s, deps, chain_id, halt.ancestor)
        await s.execute(
            "UPDATE chain_cursors SET halted = false WHERE chain_id = :chain", {"chain": chain_id}
        )
    return halt

"""Take what proves anchors and forks offline, once their blocks are final.

A proof is taken of every anchored row; where the node has forgotten the state, one of the newest
final block stands for all rows before. A conflict on a chain is completed in the same way.
"""

import logging
from typing import Any

from chains.errors import ChainError
from chains.evm.client import EvmClient
from custody.assurance import anchor_chains, anchor_proofs
from custody.assurance.anchor import AnchorDeps
from custody.core.errors import NotFound
from custody.core.serialization import dumps_text
from custody.parties import places

logger = logging.getLogger(__name__)


async def step(deps: AnchorDeps, chain_id: int) -> int:
    """How many proofs were taken. Raises ChainError."""
    async with deps.db.read() as s:
        try:
            contract = (await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)).address
        except NotFound:
            return 0
        seen = (await anchor_chains.noted(s)).get(chain_id)
        if seen is None:
            return 0
        rows = await anchor_proofs.unproved(s, chain_id, seen.final_number)
        conflicts = await s.all(_CONFLICTS, {"chain": str(chain_id), "final": seen.final_number})
    taken, covered = 0, 0
    for row in rows:
        if row.size > covered:
            covered = await _prove(deps, chain_id, contract, row, seen.final_number)
            taken += covered > 0
    for conflict in conflicts:
        taken += await _complete(deps, deps.clients[chain_id], conflict, seen.final_number)
    return taken


async def _prove(
    deps: AnchorDeps, chain_id: int, contract: str, row: Any, final_number: int
) -> int:
    """The size that is proved; 0 if what is there does not cover the row."""
    client = deps.clients[chain_id]
    held, proof = await anchor_proofs.at_own_block_or_latest(
        client, contract, deps.origin, row.block_number, row.block_hash, final_number
    )
    size = held.checkpoint.size
    async with deps.db.read() as s:
        ours = await anchor_chains.root_at(s, deps.folder, size) if size else None
    if size < row.size or ours != held.checkpoint.root:
        logger.error("the proof is of something else", extra={"chain_id": chain_id, "size": size})
        return 0
    async with deps.db.write() as s:
        await anchor_proofs.keep(s, proof, at=deps.clock.now())
    return size


async def now(deps: AnchorDeps, chain_id: int) -> dict[str, Any]:
    """The document of the newest final block, stored: for whom an older block is hard to come by.

    Raises NotFound where this chain has no anchor contract, or it holds nothing; and ChainError.
    """
    async with deps.db.read() as s:
        contract = (await places.place(s, deps.tenant_id, chain_id, places.ANCHOR)).address
    client, depth = deps.clients[chain_id], deps.confirmations.get(chain_id, 1)
    sight = await anchor_chains.look(client, contract, deps.log_id, depth)
    block = await client.block(sight.final_number)
    held, proof = await anchor_proofs.take(client, contract, deps.origin, block)
    if not held.checkpoint.size:
        raise NotFound("anchor", f"chain {chain_id} at block {block.number}")
    async with deps.db.read() as s:
        ours = await anchor_chains.root_at(s, deps.folder, held.checkpoint.size)
    if ours == held.checkpoint.root:
        async with deps.db.write() as s:
            await anchor_proofs.keep(s, proof, at=deps.clock.now())
    return proof


_CONFLICTS = """
SELECT id, size, theirs FROM log_forks
WHERE theirs ->> 'kind' = 'anchor' AND theirs ->> 'chain_id' = :chain
  AND theirs -> 'proof' = 'null'::jsonb AND CAST(theirs ->> 'block_number' AS bigint) <= :final
"""


async def _complete(deps: AnchorDeps, client: EvmClient, conflict: Any, final_number: int) -> bool:
    """Add the proof of what the chain holds, if it (still) holds it in a final block."""
    theirs = dict(conflict.theirs)
    try:
        held, proof = await anchor_proofs.at_own_block_or_latest(
            client,
            theirs["contract"],
            deps.origin,
            int(theirs["block_number"]),
            theirs["block_hash"],
            final_number,
        )
    except ChainError as error:
        logger.warning("no proof of the fork yet", extra={"error": error})
        return False
    root = "sha256:" + held.checkpoint.root.hex()
    if (held.checkpoint.size, root) != (conflict.size, theirs["root"]):
        return False
    async with deps.db.write() as s:
        await s.execute(
            "UPDATE log_forks SET theirs = CAST(:theirs AS jsonb) WHERE id = :id",
            {"id": conflict.id, "theirs": dumps_text({**theirs, "proof": proof})},
        )
    return True

"""opened -> challenged: the opening is anchored, then the block comes whose hash decides all.

That the anchor was there first is proved by the contract's state at the block before, which is read
as soon as that block is there, for nodes forget states; it counts once the block is final.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Any

from sqlalchemy import Row

from chains.evm.client import EvmClient
from chains.types import BlockRef
from custody.assurance import anchor_proofs
from custody.assurance.solvency import layout, pins, states
from custody.assurance.solvency.deps import Rules, SolvencyDeps
from custody.assurance.solvency.states import State
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.serialization import dumps_text
from custody.parties import places

SAMPLE = 16
"""Blocks whose times tell how fast a chain is; by their median, so that one jump does not count."""


@dataclass(frozen=True, slots=True)
class Missed:
    """No proof can come any more."""

    reason: str


async def contract(s: ReadSession, deps: SolvencyDeps) -> str | None:
    """The anchor contract on the chain of the challenge; None where there is none."""
    try:
        return (await places.place(s, deps.anchorer, deps.chain_id, places.ANCHOR)).address
    except NotFound:
        return None


async def lead_blocks(client: EvmClient, head: int, rules: Rules) -> int:
    """How many blocks ahead of `head` leave the opening time to be anchored. Raises ChainError."""
    found = await client.headers(range(max(0, head - SAMPLE), head + 1))
    times = [h.block.timestamp for h in found if h is not None]
    spans = [after - before for before, after in pairwise(times)]
    block_s = max(1, median_low(spans)) if spans else 1
    return max(rules.lead_blocks, -(-rules.lead_s // block_s))


async def step(deps: SolvencyDeps, row: Row[Any]) -> int | Missed:
    """One commit: the anchor's proof, or the challenge; 0 while a block is missing or not final.

    Raises ChainError.
    """
    client = deps.reads.clients[row.chain_id]
    confirmations = deps.reads.registry.chain(row.chain_id).confirmations
    if await client.height() < row.block_number - 1:
        return 0
    final = await pins.final_number(client, confirmations)
    before = await client.block(row.block_number - 1)
    if row.held_hash != before.hash:
        return await _take(deps, client, row, before)
    async with deps.reads.db.read() as s:
        asked = {"id": row.opened_entry}
        index = await s.scalar("SELECT seq FROM audit_sequence WHERE entry_id = :id", asked)
    if final < row.block_number:
        return 0
    if index is None or row.held_size <= index:
        return Missed(f"the opening was not anchored before block {row.block_number}")
    block = await client.block(row.block_number)
    found = layout.challenge_of(
        bytes.fromhex(block.hash[2:]), row.chain_id, row.block_number, row.epoch, row.entity
    )
    async with deps.reads.db.write() as s:
        values = {"block_hash": block.hash, "challenge": found}
        return int(await states.move(s, row, State.CHALLENGED, deps.reads.clock.now(), **values))


async def _take(deps: SolvencyDeps, client: EvmClient, row: Row[Any], before: BlockRef) -> int:
    """Keep what the contract held at the block before; of another branch it is taken anew."""
    async with deps.reads.db.read() as s:
        at = await contract(s, deps)
    if at is None:
        return 0
    _, document = await anchor_proofs.take(client, at, deps.origin, before)
    async with deps.reads.db.write() as s:
        done = await s.execute(
            "UPDATE solvency_epochs SET anchored = CAST(:anchored AS jsonb)"
            " WHERE tenant_id = :tenant AND epoch = :epoch AND state = 'opened'",
            {"anchored": dumps_text(document), "tenant": row.tenant_id, "epoch": row.epoch},
        )
    return done.rowcount

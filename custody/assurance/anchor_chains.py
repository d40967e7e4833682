"""What a chain's contract shows of our log, held against what this log signed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import AnchoredCheckpoint, AuditAnchor, LogState
from chains.types import BlockRef
from custody.audit import merkle, proof
from custody.audit.checkpoint import checkpoint_of, latest_checkpoint
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken


class ChainState(StrEnum):
    """How anchoring stands on a chain."""

    OPEN = "open"
    WAITING = "waiting"  # for gas, or for policy
    FROZEN = "frozen"  # somebody who may has frozen the log at the contract
    AHEAD = "ahead"  # it holds more than this database ever signed
    BROKEN = "broken"  # tiles or rows here do not prove what they should
    FORKED = "forked"  # it holds a root that is not ours, or a report that we forked


STOPPED = (ChainState.AHEAD, ChainState.BROKEN, ChainState.FORKED)
"""A person has to look."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at a chain showed, all at block `head`; heights of what is safe and final."""

    chain_id: int
    contract: str
    log_id: bytes
    head: BlockRef
    state: LogState
    there: AnchoredCheckpoint
    safe_number: int
    final_number: int


async def look(client: EvmClient, contract: str, log_id: bytes, confirmations: int = 1) -> Sight:
    """Raises ChainError. `confirmations` make final where the chain has no tag for it: a node that
    knows the tag and does not answer decides nothing."""
    head = await client.block("latest")
    anchor = AuditAnchor(client, contract)
    state = await anchor.state_of(log_id, head)
    there = await anchor.latest(log_id, head)
    final = await _height(client, "finalized", head.number - confirmations + 1)
    safe = max(final, await _height(client, "safe", final))
    return Sight(client.chain_id, contract, log_id, head, state, there, safe, final)


async def _height(client: EvmClient, tag: str, otherwise: int) -> int:
    found = await client.tagged(tag)
    return otherwise if found is None else found.number


async def root_at(s: ReadSession, folder: Path, size: int) -> bytes | None:
    """Our root at any size up to the newest checkpoint; None beyond it.

    Raises Broken where the tiles that it is made of are lost.
    """
    signed = await checkpoint_of(s, size)
    if signed is not None:
        return signed.root
    head = await latest_checkpoint(s)
    if head is None or size > head.size:
        return None
    try:
        return merkle.subtree_root(proof.from_tiles(folder, head.size), 0, size)
    except FileNotFoundError as error:
        raise Broken(f"the root of size {size} cannot be made: {error}") from error


_NOTE = """
INSERT INTO anchor_chains AS c (chain_id, state, reason, since, looked_at, size, safe_number,
  final_number)
VALUES (:chain, :state, :reason, :at, :at, :size, :safe, :final)
ON CONFLICT (chain_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
  since = CASE WHEN c.state = excluded.state THEN c.since ELSE excluded.since END,
  looked_at = excluded.looked_at, size = excluded.size, safe_number = excluded.safe_number,
  final_number = excluded.final_number
"""


async def note(
    s: WriteSession, sight: Sight, state: ChainState, reason: str | None, *, at: datetime
) -> None:
    """Keep what was seen last; `since` stays while the state does."""
    await s.execute(
        _NOTE,
        {
            "chain": sight.chain_id,
            "state": state.value,
            "reason": reason,
            "at": at,
            "size": sight.there.size,
            "safe": sight.safe_number,
            "final": sight.final_number,
        },
    )


@dataclass(frozen=True, slots=True)
class Noted:
    """A chain as it was last seen."""

    chain_id: int
    state: ChainState
    reason: str | None
    since: datetime
    looked_at: datetime
    size: int
    safe_number: int
    final_number: int


async def noted(s: ReadSession) -> dict[int, Noted]:
    rows = await s.all(
        "SELECT chain_id, state, reason, since, looked_at, size, safe_number, final_number"
        " FROM anchor_chains ORDER BY chain_id"
    )
    return {r.chain_id: Noted(**{**r._mapping, "state": ChainState(r.state)}) for r in rows}

"""What a look at a chain means for anchoring, and what is kept of it.

Judged from rows and tiles alone; `confirm` asks the chain for what only a second question tells:
the event of a fork report, or whether a reorg took an anchor that was final.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from chains.errors import ChainError
from chains.evm.client import EvmClient
from chains.evm.contracts.audit_anchor import AuditAnchor, ForkReport, LogState
from custody.assurance import anchor_chains, anchor_forks, anchor_states
from custody.assurance.anchor_chains import ChainState, Sight
from custody.assurance.anchor_forks import digest
from custody.assurance.anchor_states import AnchorState, Last
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import TenantId


@dataclass(frozen=True, slots=True)
class Conflict:
    """What the chain holds of `size`, and our side of it."""

    size: int
    root: bytes
    ours: dict[str, Any]
    theirs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """`last` is our newest anchored row there; `lost` the same where a reorg took it."""

    state: ChainState
    reason: str | None = None
    conflict: Conflict | None = None
    last: Last | None = None
    lost: Last | None = None
    report: ForkReport | None = None


async def stopped(s: ReadSession) -> Finding | None:
    """Why nothing is anchored anywhere: a fork stands, or what others hold is ahead of us."""
    if await anchor_forks.standing(s):
        return Finding(ChainState.FORKED, "somebody holds a root that is not ours")
    number, size = await anchor_forks.ahead(s)
    if number:
        reason = f"our key signed size {size}, which this database does not have"
        return Finding(ChainState.AHEAD, reason)
    return None


async def judge(s: ReadSession, folder: Path, sight: Sight) -> Finding:
    """The sight against what this log signed. Pure but for rows and tiles."""
    there, last = sight.there, await anchor_states.last(s, sight.chain_id)
    chain = f"chain {sight.chain_id}"
    if there.size:
        try:
            ours = await anchor_chains.root_at(s, folder, there.size)
        except Broken as broken:
            return Finding(ChainState.BROKEN, broken.detail, last=last)
        if ours is None:
            reason = f"{chain} has a checkpoint of size {there.size} that is not ours (yet)"
            return Finding(ChainState.AHEAD, reason, last=last)
        if ours != there.root:
            reason = f"{chain} has a checkpoint of size {there.size} that is not ours"
            side = await anchor_forks.our_side(s, folder, there.size)
            theirs = _theirs(sight, "anchor", there.root) | {"proof": None}
            conflict = Conflict(there.size, there.root, side, theirs)
            return Finding(ChainState.FORKED, reason, conflict, last)
    if sight.state is LogState.FORKED:
        reason = f"{chain} has a report that this log forked"
        return Finding(ChainState.FORKED, reason, last=last)
    stop = await stopped(s)
    if stop is not None:
        return replace(stop, last=last)
    if sight.state is LogState.FROZEN:
        return Finding(ChainState.FROZEN, f"{chain} has the log frozen", last=last)
    return Finding(ChainState.OPEN, last=last)


def _theirs(sight: Sight, kind: str, root: bytes) -> dict[str, Any]:
    return {
        "kind": kind,
        "root": digest(root),
        "chain_id": str(sight.chain_id),
        "contract": sight.contract,
        "block_number": str(sight.head.number),
        "block_hash": sight.head.hash,
    }


async def confirm(client: EvmClient, sight: Sight, found: Finding) -> Finding:
    """The finding with what a second question to the chain adds. Raises ChainError."""
    last = found.last
    if sight.state is LogState.FORKED and found.conflict is None:
        return replace(found, report=await _reported(client, sight, last))
    if found.state is not ChainState.OPEN or last is None or last.block_number is None:
        return found
    # A node that lags shows less, too: only another block at the anchor's height tells of a reorg.
    if sight.there.size < last.size and sight.head.number >= last.block_number:
        block = await client.block(last.block_number)
        if block.hash != last.block_hash:
            return replace(found, lost=last)
    return found


async def _reported(client: EvmClient, sight: Sight, last: Last | None) -> ForkReport | None:
    """The two roots that were reported, by the event; None if no node gives it.

    Nothing is anchored after a report, so it is not older than our last anchor.
    """
    first = 0 if last is None or last.block_number is None else last.block_number
    contract = AuditAnchor(client, sight.contract)
    try:
        return await contract.fork_report(sight.log_id, first, sight.head.number)
    except ChainError:
        return None


async def _of_report(s: ReadSession, folder: Path, sight: Sight, report: ForkReport) -> Conflict:
    """What was reported as the root that is not ours, with our side of it where we have one."""
    ours = await anchor_chains.root_at(s, folder, report.size)
    side: dict[str, Any] = {"note": None, "root": None, "consistency": []}
    if ours is not None:
        side = await anchor_forks.our_side(s, folder, report.size)
    root = next(r for r in report.roots if r != ours)
    theirs = _theirs(sight, "report", root) | {
        "roots": [digest(r) for r in report.roots],
        "tx_hash": report.tx_hash,
        "block_number": str(report.block_number),
        "block_hash": report.block_hash,
    }
    return Conflict(report.size, root, side, theirs)


async def keep(
    s: WriteSession,
    tenant_id: TenantId,
    folder: Path,
    sight: Sight,
    found: Finding,
    *,
    at: datetime,
) -> None:
    """Evidence, the state that stops a chain, and rows that end by it: one commit."""
    reason, chain_id = found.reason or "", sight.chain_id
    if found.state is not ChainState.OPEN:
        await anchor_chains.note(s, sight, found.state, found.reason, at=at)
    conflict = found.conflict
    if found.report is not None:
        conflict = await _of_report(s, folder, sight, found.report)
    if conflict is not None:
        await anchor_forks.record(
            s,
            tenant_id,
            conflict.size,
            conflict.root,
            f"chain {chain_id}",
            conflict.ours,
            conflict.theirs,
            at=at,
        )
    if found.state in (ChainState.FORKED, ChainState.AHEAD):
        await anchor_states.take_back(s, chain_id, reason)
    if found.conflict is not None or sight.state is LogState.FORKED:
        await anchor_states.stop(s, chain_id, reason, at=at)
    if found.lost is not None and found.lost.intent_id is not None:
        lost = f"a reorg took block {found.lost.block_number} after it was final"
        await anchor_states.move(s, found.lost.intent_id, AnchorState.FAILED, at=at, reason=lost)

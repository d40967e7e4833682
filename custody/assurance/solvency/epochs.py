"""The job: look at each tenant's newest epoch and move it on by one commit.

opened -> challenged -> computed -> logged -> anchored -> serving. Killed anywhere, the next step
finds the row as the last commit left it: the secret and the challenge decide salts and order, so
what is computed again is the same tree, if the ledger's snapshot is.
"""

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from custody.assurance.solvency import challenge, compute, layout, publish, states
from custody.assurance.solvency.deps import SolvencyDeps
from custody.assurance.solvency.reserves import CannotBeRead
from custody.assurance.solvency.states import ENDED, State
from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import WriteSession
from custody.core.ids import TenantId, format_id
from custody.core.ownership import entity_of
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.core.serialization import dumps_text
from custody.ledger import owed

logger = logging.getLogger(__name__)

USED_UP = frozenset({"epoch_passed", "epoch_challenge"})
"""Refusals that stay: somebody else has asked the signer for this epoch, or for a later one."""
PASSED = "used up at the signer"
LATE = frozenset({State.OPENED, State.CHALLENGED, State.COMPUTED})


async def step(deps: SolvencyDeps, tenant_id: TenantId) -> int:
    """One move of the tenant's newest epoch, or the opening of the next; 1 if there was one.

    Raises ChainError, SignerRefused or SignerUnavailable: the epoch stays where it is.
    """
    now = deps.reads.clock.now()
    async with deps.reads.db.read() as s:
        row = await states.newest(s, tenant_id)
        if row is None and not await owed.has_books(s, tenant_id):
            return 0
    if row is None or State(row.state) in ENDED:
        if row is not None and (now - row.created_at).total_seconds() < _pause_s(deps, row):
            return 0
        return await _open_next(deps, tenant_id, 1 if row is None else row.epoch + 1)
    late = (now - row.created_at).total_seconds() > deps.rules.patience_s
    try:
        moved = await _advance(deps, row)
    except Exception as error:
        if isinstance(error, SignerRefused) and error.rule in USED_UP:
            return await _fail(deps, row, f"{PASSED}: {error}")
        if late and State(row.state) in LATE:
            return await _fail(deps, row, f"{type(error).__name__}: {error}")
        if not isinstance(error, CannotBeRead):
            raise
        logger.warning("solvency waits", extra={"epoch": row.epoch, "reason": str(error)})
        return 0
    if not moved and late and State(row.state) in LATE:
        return await _fail(deps, row, f"was still {row.state} after {deps.rules.patience_s} s")
    return moved


def _pause_s(deps: SolvencyDeps, row: Row[Any]) -> int:
    """From the opening of an epoch that has ended to the next one's; none after a number that is
    only passed over."""
    if row.state == State.FAILED and row.reason.startswith(PASSED):
        return 0
    interval_s = deps.rules.interval_s
    return min(interval_s, deps.rules.retry_s) if row.state == State.FAILED else interval_s


async def _open_next(deps: SolvencyDeps, tenant_id: TenantId, epoch: int) -> int:
    """Open the epoch. One whose statements the signer will refuse fails at once, so that whoever
    used up numbers has used up no time."""
    try:
        last = await deps.signer.last_epoch(format_id("tenant", tenant_id))
    except SignerUnavailable:
        last = 0  # it is not needed yet
    moved = await open_epoch(deps, tenant_id, epoch)
    if moved and last >= epoch:
        async with deps.reads.db.read() as s:
            row = await states.newest(s, tenant_id)
        if row is not None and row.epoch == epoch:
            await _fail(deps, row, f"{PASSED}: statements of epoch {last} exist")
    return moved


async def _advance(deps: SolvencyDeps, row: Row[Any]) -> int:
    match State(row.state):
        case State.OPENED:
            moved = await challenge.step(deps, row)
            return moved if isinstance(moved, int) else await _fail(deps, row, moved.reason)
        case State.CHALLENGED:
            return await compute.step(deps, row)
        case State.COMPUTED:
            return await publish.log_report(deps, row)
        case State.LOGGED:
            return await publish.find_anchor(deps, row)
        case State.ANCHORED:
            return await publish.serve(deps, row)
        case _:
            return 0


_OPEN = """
INSERT INTO solvency_epochs
  (tenant_id, epoch, state, entity, secret, commitment, chain_id, block_number, window_blocks,
   floors, seq_floor, opened_entry, created_at, updated_at)
VALUES (:tenant, :epoch, 'opened', :entity, :secret, :commitment, :chain, :block, :window,
   CAST(:floors AS jsonb), :seq_floor, :entry, :at, :at)
ON CONFLICT (tenant_id, epoch) DO NOTHING RETURNING epoch
"""


async def open_epoch(deps: SolvencyDeps, tenant_id: TenantId, epoch: int) -> int:
    """Commit to a secret and name a future block. 0 where another worker was first, or where the
    chain has no anchor contract yet.

    The floors are read before the order of posting: what is posted up to that place is about blocks
    that were there, so about none after a floor.
    """
    floors = {chain: await client.height() for chain, client in deps.reads.clients.items()}
    async with deps.reads.db.read() as s:
        if await challenge.contract(s, deps) is None:
            logger.warning("no epoch without an anchor contract", extra={"chain": deps.chain_id})
            return 0
    secret, head = secrets.token_bytes(32), floors[deps.chain_id]
    ahead = await challenge.lead_blocks(deps.reads.clients[deps.chain_id], head, deps.rules)
    block = head + ahead
    async with deps.reads.db.write() as s:
        return await _opened(s, deps, tenant_id, epoch, secret, floors, block)


async def _opened(
    s: WriteSession,
    deps: SolvencyDeps,
    tenant_id: TenantId,
    epoch: int,
    secret: bytes,
    floors: Mapping[int, int],
    block: int,
) -> int:
    now, entity = deps.reads.clock.now(), entity_of(deps.origin, format_id("tenant", tenant_id))
    commitment = layout.commitment(secret)
    shown = {str(chain): str(number) for chain, number in sorted(floors.items())}
    data: dict[str, Json] = {
        "entity": entity,
        "epoch": str(epoch),
        "commitment": "sha256:" + commitment.hex(),
        "chain_id": str(deps.chain_id),
        "block_number": str(block),
        "window": str(deps.rules.window_blocks),
        "floors": shown,
    }
    # One opening at a time: the loser of two workers must leave no entry behind.
    await s.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:key, 13))", {"key": f"solvency/{tenant_id}"}
    )
    if await states.of(s, tenant_id, epoch) is not None:
        return 0
    entry = await log.append(s, tenant_id, "solvency.opened", data, at=now)
    await s.execute(
        _OPEN,
        {
            "tenant": tenant_id,
            "epoch": epoch,
            "entity": entity,
            "secret": secret,
            "commitment": commitment,
            "chain": deps.chain_id,
            "block": block,
            "window": deps.rules.window_blocks,
            "floors": dumps_text(shown),
            "seq_floor": await owed.last_seq(s),
            "entry": entry,
            "at": now,
        },
    )
    return 1


async def _fail(deps: SolvencyDeps, row: Row[Any], reason: str) -> int:
    """A missed epoch is an entry of its own: nobody can pass over it in silence."""
    logger.critical("solvency epoch failed", extra={"epoch": row.epoch, "reason": reason})
    data = {"entity": row.entity, "epoch": str(row.epoch), "reason": reason[:1000]}
    async with deps.reads.db.write() as s:
        if not await states.move(s, row, State.FAILED, _now(deps), reason=reason, secret=None):
            return 0
        await s.execute(
            "DELETE FROM solvency_chunks WHERE tenant_id = :tenant AND epoch = :epoch",
            {"tenant": row.tenant_id, "epoch": row.epoch},
        )
        await log.append(s, row.tenant_id, "solvency.failed", data, at=_now(deps))
    return 1


def _now(deps: SolvencyDeps) -> datetime:
    return deps.reads.clock.now()

"""Anchor rows: their states, the moves between them, and what follows from their intents.

Mined, safe and final are told by the settlement of the intent; nothing of it is copied here. A row
is `anchored` once that is final.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import IntentId
from custody.settlement import intents
from custody.settlement.states import IntentState


class AnchorState(StrEnum):
    PREPARED = "prepared"  # its intent is decided; nothing has left
    SUBMITTED = "submitted"  # a node may have it
    ANCHORED = "anchored"  # final on its chain: evidence
    FORKED = "forked"  # the chain holds another history
    FAILED = "failed"  # refused, reverted, cancelled, or taken by a reorg; another row follows


_S = AnchorState
MOVES: dict[AnchorState, frozenset[AnchorState]] = {
    _S.PREPARED: frozenset({_S.SUBMITTED, _S.ANCHORED, _S.FORKED, _S.FAILED}),
    _S.SUBMITTED: frozenset({_S.ANCHORED, _S.FORKED, _S.FAILED}),
    _S.ANCHORED: frozenset({_S.FAILED}),
    _S.FORKED: frozenset(),
    _S.FAILED: frozenset(),
}
OPEN = (_S.PREPARED, _S.SUBMITTED)
_NOT_BOUND = (IntentState.AWAITING_APPROVAL, IntentState.APPROVED, IntentState.QUEUED)
RETRY_S = 60
"""The least pause after an anchor that failed, where the interval is longer."""


async def move(
    s: WriteSession, intent_id: IntentId, new: AnchorState, *, at: datetime, reason: str
) -> bool:
    """Move the row of an intent; False if it is in no state from which that may be."""
    before = [old.value for old in _S if new in MOVES[old]]
    if not before:
        raise Broken(f"anchor of {intent_id}: no move leads to {new}")
    result = await s.execute(
        "UPDATE anchors SET state = :new, reason = :reason, updated_at = :at"
        " WHERE intent_id = :intent AND state = ANY(:before)",
        {"new": new.value, "reason": reason, "at": at, "intent": intent_id, "before": before},
    )
    return result.rowcount == 1


# An intent that ended before it was signed tells nobody: its anchor is not under way any more.
_FOLLOW = """
UPDATE anchors a SET updated_at = :at,
  state = CASE WHEN i.state IN ('sent', 'unknown', 'mined', 'final') THEN 'submitted'
    ELSE 'failed' END,
  reason = CASE WHEN i.state IN ('refused', 'cancelled', 'failed')
    THEN coalesce(i.reason, i.state) ELSE a.reason END
FROM intents i WHERE i.id = a.intent_id AND i.tenant_id = a.tenant_id AND a.chain_id = :chain AND (
  a.state = 'prepared' AND i.state IN ('sent', 'unknown', 'mined', 'final')
  OR a.state IN ('prepared', 'submitted') AND i.state IN ('refused', 'cancelled', 'failed'))
"""


async def follow(s: WriteSession, chain_id: int, *, at: datetime) -> int:
    """Let open rows of a chain go where their intents went; how many moved."""
    return (await s.execute(_FOLLOW, {"chain": chain_id, "at": at})).rowcount


async def take_back(s: WriteSession, chain_id: int, reason: str) -> int:
    """Cancel the intents of a chain that have no nonce yet; how many. `follow` ends their rows."""
    rows = await s.all(
        "SELECT i.id, i.state FROM anchors a JOIN intents i"
        " ON i.id = a.intent_id AND i.tenant_id = a.tenant_id"
        " WHERE a.chain_id = :chain AND a.state = 'prepared' AND i.state = ANY(:states)",
        {"chain": chain_id, "states": [state.value for state in _NOT_BOUND]},
    )
    ended = 0
    for row in rows:
        intent_id, state = IntentId(row.id), IntentState(row.state)
        if state is IntentState.QUEUED:
            if not await intents.take_back(s, intent_id):
                continue  # it has just got its nonce
            state = IntentState.APPROVED
        ended += await intents.cancel(s, intent_id, state, reason)
    return ended


async def stop(s: WriteSession, chain_id: int, reason: str, *, at: datetime) -> int:
    """No row of this chain will be anchored: it holds another history."""
    result = await s.execute(
        "UPDATE anchors SET state = 'forked', reason = :reason, updated_at = :at"
        " WHERE chain_id = :chain AND state = ANY(:open)",
        {"chain": chain_id, "reason": reason, "at": at, "open": [o.value for o in OPEN]},
    )
    return result.rowcount


@dataclass(frozen=True, slots=True)
class Last:
    """How far a chain has come: the newest anchored row, and when the next may be made."""

    size: int
    intent_id: IntentId | None
    block_number: int | None
    block_hash: str | None
    under_way: bool
    started_at: datetime | None
    failed_at: datetime | None


_LAST = """
SELECT coalesce(newest.size, 0) AS size, newest.intent_id, newest.block_number, newest.block_hash,
  rows.under_way, rows.started_at, rows.failed_at
FROM (
  SELECT coalesce(bool_or(state IN ('prepared', 'submitted')), false) AS under_way,
    max(created_at) FILTER (WHERE state <> 'failed') AS started_at,
    max(updated_at) FILTER (WHERE state = 'failed') AS failed_at
  FROM anchors WHERE chain_id = :chain
) rows LEFT JOIN LATERAL (
  SELECT size, intent_id, block_number, block_hash FROM anchors
  WHERE chain_id = :chain AND state = 'anchored' ORDER BY size DESC LIMIT 1
) newest ON true
"""


async def last(s: ReadSession, chain_id: int) -> Last:
    return Last(**(await s.one(_LAST, {"chain": chain_id}))._mapping)


def may_start(found: Last, interval_s: int, now: datetime) -> bool:
    """Whether the pauses are over: an interval between two anchors, less after one that failed."""
    if found.under_way:
        return False
    pauses = ((found.started_at, interval_s), (found.failed_at, min(interval_s, RETRY_S)))
    return all(at is None or (now - at).total_seconds() >= pause for at, pause in pauses)

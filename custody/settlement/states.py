"""States of an intent and the moves allowed between them."""

from enum import StrEnum

from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import IntentId


class IntentState(StrEnum):
    AWAITING_APPROVAL = "awaiting_approval"  # people must sign first
    APPROVED = "approved"  # decided, but its owner holds it back (liquidity)
    QUEUED = "queued"  # may be bound to a nonce and signed
    BOUND = "bound"  # has its nonce for ever; bytes may or may not exist at the signer
    SIGNED = "signed"  # bytes are ours, not known to have left
    SENT = "sent"  # a node took the bytes
    UNKNOWN = "unknown"  # a node may have taken them: the same nonce again, never another
    MINED = "mined"  # in a block, not yet final
    FINAL = "final"
    FAILED = "failed"  # mined and reverted, final
    REFUSED = "refused"  # policy or signer said no
    CANCELLED = "cancelled"  # before a nonce was bound, or its nonce went to a cancel, final


_S = IntentState
MOVES: dict[IntentState, frozenset[IntentState]] = {
    _S.AWAITING_APPROVAL: frozenset({_S.APPROVED, _S.QUEUED, _S.REFUSED, _S.CANCELLED}),
    _S.APPROVED: frozenset({_S.QUEUED, _S.AWAITING_APPROVAL, _S.REFUSED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.BOUND, _S.APPROVED, _S.AWAITING_APPROVAL, _S.REFUSED}),
    _S.BOUND: frozenset({_S.SIGNED, _S.QUEUED, _S.REFUSED}),
    _S.SIGNED: frozenset({_S.SENT, _S.UNKNOWN, _S.MINED}),
    _S.SENT: frozenset({_S.UNKNOWN, _S.MINED}),
    _S.UNKNOWN: frozenset({_S.SENT, _S.MINED}),
    _S.MINED: frozenset({_S.SENT, _S.MINED, _S.FINAL, _S.FAILED, _S.CANCELLED}),
    _S.FINAL: frozenset(),
    _S.FAILED: frozenset(),
    _S.REFUSED: frozenset(),
    _S.CANCELLED: frozenset(),
}
PENDING = (_S.BOUND, _S.SIGNED, _S.SENT, _S.UNKNOWN)
"""Has a nonce that no block is known to have used."""
REBINDABLE = (
    *(_S.AWAITING_APPROVAL, _S.APPROVED, _S.QUEUED, _S.BOUND, _S.SIGNED, _S.SENT, _S.UNKNOWN),
)
"""Nothing is decided yet: a nonce that the signer gave it elsewhere, or before a restore, fits."""
OPEN = tuple(state.value for state in _S if MOVES[state])


async def move(
    s: WriteSession, intent_id: IntentId, old: IntentState, new: IntentState, **columns: object
) -> bool:
    """Move one intent and set columns with it; False if it was no longer in `old`.

    Raises Broken on a move that the table doesn't have: that is a fault of the program.
    """
    if new not in MOVES[old]:
        raise Broken(f"intent {intent_id}: no move from {old} to {new}")
    sets = "".join(f", {name} = :{name}" for name in columns)
    result = await s.execute(
        f"UPDATE intents SET state = :new{sets} WHERE id = :id AND state = :old",
        {"id": intent_id, "old": old.value, "new": new.value, **columns},
    )
    return result.rowcount == 1

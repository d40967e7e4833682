"""States of a batch of payouts, and of each payout in it."""

from enum import StrEnum

from custody.audit import log
from custody.core.clock import Clock
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import BatchId, TenantId, format_id


class State(StrEnum):
    REQUESTED = "requested"  # held, waiting for the screening list
    SCREENED = "screened"  # waiting for people, where policy wants them
    APPROVED = "approved"
    AWAITING_LIQUIDITY = (
        "awaiting_liquidity"  # the payout wallet lacks funds, or is used by another
    )
    ALLOWING = "allowing"  # the token's allowance for the batch contract is on its way
    ALLOWED = "allowed"
    RELEASED = "released"  # in settlement's hands, not signed yet
    SIGNED = "signed"
    SENT = "sent"
    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    SETTLED = "settled"  # each payout is paid or skipped
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"
    FAILED = "failed"


class PayoutState(StrEnum):
    OPEN = "open"
    PAID = "paid"
    SKIPPED = "skipped"  # the recipient or the token refused it; its money went back to the holder
    RELEASED = "released"  # the batch ended unpaid


_S = State
ENDS = frozenset({_S.SETTLED, _S.CANCELLED, _S.EXPIRED, _S.REFUSED, _S.FAILED})
_LET_GO = frozenset({_S.CANCELLED, _S.EXPIRED, _S.REFUSED})
_OUT = frozenset({_S.SIGNED, _S.SENT, _S.UNKNOWN, _S.CONFIRMED})
_PAID = frozenset({_S.SETTLED, _S.FAILED, _S.CANCELLED})
_FUNDED = frozenset({_S.ALLOWING, _S.RELEASED})
MOVES: dict[State, frozenset[State]] = {
    _S.REQUESTED: _LET_GO | {_S.SCREENED},
    _S.SCREENED: _LET_GO | {_S.APPROVED},
    _S.APPROVED: _LET_GO | _FUNDED | {_S.AWAITING_LIQUIDITY, _S.SCREENED},
    _S.AWAITING_LIQUIDITY: _LET_GO | _FUNDED | {_S.SCREENED},
    _S.ALLOWING: frozenset({_S.ALLOWED, _S.FAILED}),
    # An approval may fall away at any moment before the nonce is bound.
    _S.ALLOWED: frozenset({_S.RELEASED, _S.SCREENED, _S.REFUSED}),
    _S.RELEASED: _OUT | _PAID | {_S.REFUSED, _S.SCREENED},
    **dict.fromkeys(_OUT, _OUT | _PAID),
    **{state: frozenset() for state in ENDS},
}
OPEN = [state for state in _S if state not in ENDS]
CANCELLABLE = (_S.REQUESTED, _S.SCREENED, _S.APPROVED, _S.AWAITING_LIQUIDITY)


async def move(
    s: WriteSession,
    clock: Clock,
    tenant_id: TenantId,
    batch_id: BatchId,
    old: State,
    new: State,
    reason: str | None = None,
) -> bool:
    """Move one batch, with its audit entry; False if it was no longer in `old`.

    The entry of `settled` is the caller's: it knows more.
    """
    if new not in MOVES[old]:
        raise Broken(f"batch {batch_id}: no move from {old} to {new}")
    result = await s.execute(
        "UPDATE payout_batches SET state = :new, reason = :reason, updated_at = now()"
        " WHERE id = :id AND tenant_id = :tenant AND state = :old",
        {
            "id": batch_id,
            "tenant": tenant_id,
            "old": old.value,
            "new": new.value,
            "reason": reason,
        },
    )
    if result.rowcount != 1:
        return False
    if new is not State.SETTLED:
        await log.append(
            s,
            tenant_id,
            "batch.state",
            {
                "batch": format_id("batch", batch_id),
                "from": old.value,
                "to": new.value,
                "reason": reason,
            },
            at=clock.now(),
        )
    return True

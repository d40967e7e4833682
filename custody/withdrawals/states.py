"""States of a withdrawal and the moves allowed between them."""

from enum import StrEnum

from custody.audit import log
from custody.core.clock import Clock
from custody.core.db import WriteSession
from custody.core.errors import Broken
from custody.core.ids import TenantId, WithdrawalId, format_id


class State(StrEnum):
    REQUESTED = "requested"  # held, waiting for the screening list
    SCREENED = "screened"  # waiting for people, where policy wants them
    APPROVED = "approved"
    SCHEDULED = "scheduled"  # approved; its time, or a fee within its maximum, is still to come
    AWAITING_LIQUIDITY = "awaiting_liquidity"  # funds are on their way to the payout wallet
    RELEASED = "released"  # in settlement's hands, not signed yet
    SIGNED = "signed"
    SENT = "sent"
    UNKNOWN = "unknown"  # the broadcast's answer was lost; the same bytes go again
    CONFIRMED = "confirmed"  # mined, not yet final
    SETTLED = "settled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"
    FAILED = "failed"


_OUT = frozenset({State.SIGNED, State.SENT, State.UNKNOWN, State.CONFIRMED})
_END = frozenset({State.SETTLED, State.FAILED, State.CANCELLED})
MOVES: dict[State, frozenset[State]] = {
    # From each of the first four a restored one goes straight to `released`, if it was paid.
    State.REQUESTED: frozenset(
        {State.SCREENED, State.RELEASED, State.REFUSED, State.CANCELLED, State.EXPIRED}
    ),
    State.SCREENED: frozenset(
        {State.APPROVED, State.RELEASED, State.REFUSED, State.CANCELLED, State.EXPIRED}
    ),
    State.APPROVED: frozenset(
        {
            State.SCHEDULED,
            State.AWAITING_LIQUIDITY,
            State.RELEASED,
            State.SCREENED,
            State.REFUSED,
            State.CANCELLED,
            State.EXPIRED,
        }
    ),
    # An approval may have run out meanwhile: then it is people's again.
    State.SCHEDULED: frozenset(
        {
            State.AWAITING_LIQUIDITY,
            State.RELEASED,
            State.SCREENED,
            State.REFUSED,
            State.CANCELLED,
            State.EXPIRED,
        }
    ),
    State.AWAITING_LIQUIDITY: frozenset(
        {
            State.RELEASED,
            State.SCHEDULED,
            State.REFUSED,
            State.CANCELLED,
            State.EXPIRED,
            State.FAILED,
        }
    ),
    # An approver removed in between sends the intent back to people, and the withdrawal with it.
    # One whose fee has risen over its maximum before it had a nonce goes on waiting.
    State.RELEASED: _OUT | _END | {State.REFUSED, State.SCREENED, State.SCHEDULED},
    State.SIGNED: _OUT | _END,
    State.SENT: _OUT | _END,
    State.UNKNOWN: _OUT | _END,
    State.CONFIRMED: _OUT | _END,
    State.SETTLED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
    State.REFUSED: frozenset(),
    State.FAILED: frozenset(),
}
CANCELLABLE = (
    *(State.REQUESTED, State.SCREENED, State.APPROVED, State.SCHEDULED, State.AWAITING_LIQUIDITY),
)
EVENTS = {
    State.CANCELLED: "withdrawal.cancelled",
    State.EXPIRED: "withdrawal.expired",
    State.REFUSED: "withdrawal.refused",
    State.FAILED: "withdrawal.failed",
}


async def move(
    s: WriteSession,
    clock: Clock,
    tenant_id: TenantId,
    withdrawal_id: WithdrawalId,
    old: State,
    new: State,
    reason: str | None = None,
) -> bool:
    """Move one withdrawal, with its audit entry; False if it was no longer in `old`.

    The entry of `settled` is the caller's: it knows more.
    """
    if new not in MOVES[old]:
        raise Broken(f"withdrawal {withdrawal_id}: no move from {old} to {new}")
    result = await s.execute(
        "UPDATE withdrawals SET state = :new, reason = :reason, updated_at = now()"
        " WHERE id = :id AND tenant_id = :tenant AND state = :old",
        {
            "id": withdrawal_id,
            "tenant": tenant_id,
            "old": old.value,
            "new": new.value,
            "reason": reason,
        },
    )
    if result.rowcount != 1:
        return False
    printed = format_id("withdrawal", withdrawal_id)
    if new in (State.CANCELLED, State.EXPIRED, State.REFUSED, State.FAILED):
        await log.append(
            s,
            tenant_id,
            EVENTS[new],
            {"withdrawal": printed, "reason": reason or new.value},
            at=clock.now(),
        )
    elif new is not State.SETTLED:
        await log.append(
            s,
            tenant_id,
            "withdrawal.state",
            {"withdrawal": printed, "from": old.value, "to": new.value, "reason": reason},
            at=clock.now(),
        )
    return True

"""Give up what has a nonce: a transfer of nothing to the sender itself uses the nonce up.

Decided here, in one commit; signed and sent by `replace`, whose versions it is one of. If the
payment is mined first, it has been paid, and settles: a cancel is a wish until it is final.
"""

from datetime import datetime

from custody.audit import log
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id
from custody.settlement.intents import IntentRow
from custody.settlement.states import PENDING, IntentState

REASON_MAX = 500


async def by_person(s: WriteSession, row: IntentRow, reason: str, *, at: datetime) -> None:
    """Raises Conflict before there are bytes, once it is mined, or if that was decided before.

    Requires the row's lock. Without bytes nobody knows yet whether the signer has some.
    """
    if row.state not in PENDING or row.state is IntentState.BOUND:
        raise Conflict(
            f"an intent in state {row.state.value} cannot be cancelled on chain",
            field="intent_id",
            rule="must be signed, sent or unknown",
        )
    if row.cancel_reason is not None:
        raise Conflict("its cancel was decided before", field="intent_id", rule="once")
    await decide(s, row, reason, at=at)


async def decide(s: WriteSession, row: IntentRow, reason: str, *, at: datetime) -> bool:
    """Mark the intent; False if it was marked or has moved on. Its owner hears at the end."""
    result = await s.execute(
        "UPDATE intents SET cancel_reason = :reason WHERE id = :id AND state = ANY(:pending)"
        " AND cancel_reason IS NULL",
        {
            "reason": reason[:REASON_MAX],
            "id": row.intent.id,
            "pending": [state.value for state in PENDING],
        },
    )
    if result.rowcount != 1:
        return False
    await log.append(
        s,
        row.intent.tenant_id,
        "transfer.cancelling",
        {
            "intent": format_id("intent", row.intent.id),
            "chain_id": str(row.intent.chain_id),
            "nonce": str(row.nonce),
            "reason": reason[:REASON_MAX],
        },
        at=at,
    )
    return True

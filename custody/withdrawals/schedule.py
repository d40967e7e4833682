"""Withdrawals that wait for their time, or until the chain's fee is within their maximum.

What a withdrawal waits for is decided from its row, the clock and the chain's quotes, which the
job reads before it opens a transaction. Nothing is filled or recalled for one that waits.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chains.errors import ChainError
from custody.core.clock import Clock, iso_us
from custody.core.db import WriteSession
from custody.settlement import intents
from custody.settlement.intents import IntentRow
from custody.settlement.states import IntentState
from custody.withdrawals import liquidity, rows
from custody.withdrawals.deps import WithdrawalDeps
from custody.withdrawals.rows import Withdrawal
from custody.withdrawals.states import State, move

logger = logging.getLogger(__name__)

EXPIRES_AFTER = timedelta(hours=24)
"""After the request, or after the time before which it was not to be paid."""

FEE_OVER_MAX = "the network fee is over its maximum"
NO_QUOTE = "the chain has not said what it asks for"

_NOT_SENT = frozenset({State.REQUESTED, State.SCREENED, State.APPROVED, State.SCHEDULED})
_ASKS_FOR_FEES = frozenset(
    {State.APPROVED, State.SCHEDULED, State.AWAITING_LIQUIDITY, State.RELEASED}
)


def expired(w: Withdrawal, now: datetime) -> str | None:
    """Why its time is over; None while it is not, or once its money is on the way to it."""
    start = w.created_at if w.not_before is None else max(w.created_at, w.not_before)
    if w.state not in _NOT_SENT or now - start <= EXPIRES_AFTER:
        return None
    if w.state is State.SCHEDULED:
        return f"not paid in time: {w.reason}"
    return "not approved in time"


async def market(deps: WithdrawalDeps, waiting: Sequence[Withdrawal]) -> dict[int, int]:
    """Chain id -> wei per gas that it asks for, of the chains where a maximum is due.

    A network read: never inside a transaction. A chain that does not answer is left out.
    """
    now = deps.clock.now()
    chains = {
        w.chain_id
        for w in waiting
        if w.network_fee_max is not None and w.state in _ASKS_FOR_FEES and not is_early(w, now)
    }
    quotes: dict[int, int] = {}
    for chain_id in sorted(chains & set(deps.clients)):
        try:
            quotes[chain_id] = (await deps.clients[chain_id].fees()).max_fee_per_gas
        except ChainError as error:
            logger.warning("chain did not answer", extra={"chain": chain_id, "error": error})
    return quotes


def is_early(w: Withdrawal, now: datetime) -> bool:
    return w.not_before is not None and now < w.not_before


def waits_for(
    w: Withdrawal, gas_limit: int, quotes: Mapping[int, int], now: datetime
) -> str | None:
    """What keeps an approved withdrawal from being paid now; None if nothing does."""
    if w.not_before is not None and is_early(w, now):
        return f"not before {iso_us(w.not_before)}"
    if w.network_fee_max is None:
        return None
    quote = quotes.get(w.chain_id)
    if quote is None:
        return NO_QUOTE
    return FEE_OVER_MAX if quote * gas_limit > w.network_fee_max else None


async def put_off(s: WriteSession, clock: Clock, w: Withdrawal, reason: str) -> bool:
    """Let it wait, and say for what."""
    if w.state is not State.SCHEDULED:
        return await move(s, clock, w.tenant_id, w.id, w.state, State.SCHEDULED, reason)
    await tell(s, w, reason)
    return False


async def tell(s: WriteSession, w: Withdrawal, reason: str) -> None:
    """Say what one waits for that stays in its state."""
    if w.reason != reason:
        await s.execute(
            "UPDATE withdrawals SET reason = :reason, updated_at = now() WHERE id = :id",
            {"reason": reason, "id": w.id},
        )


async def take_back(
    s: WriteSession, deps: WithdrawalDeps, w: Withdrawal, row: IntentRow, quotes: Mapping[int, int]
) -> bool:
    """Put off one that is released but has no nonce yet, where its maximum is exceeded by now, or
    its asset stopped by a breaker.

    Signed so close to the market it would be stuck, and all later payouts of the wallet behind it.
    """
    if w.state is not State.RELEASED or row.state is not IntentState.QUEUED:
        return False
    now, reason = deps.clock.now(), await rows.stopped(s, w)
    # A chain that does not answer is no news: settlement will not send without it either.
    if reason is None and waits_for(w, row.intent.gas_limit, quotes, now) == FEE_OVER_MAX:
        reason = FEE_OVER_MAX
    if reason is None:
        return False
    if not await intents.take_back(s, w.intent_id):
        return False
    await liquidity.void_payout_hold(s, w, now)
    return await put_off(s, deps.clock, w, reason)

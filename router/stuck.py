"""Money that an exchange does not give back: named, and no yield of it is counted.

Nothing is decided from it: the leg goes on asking. While it does, accrual passes over its venue,
so what the exchange claims to pay there never reaches the share price.
"""

from dataclasses import dataclass

from custody.core.db import ReadSession
from custody.core.ids import LegId, PoolId
from router import books, legs
from router.legs import Leg
from router.moves import Action
from router.states import LegState

STUCK_S = 6 * 3_600
"""An exit that has not moved for so long. Redemptions by their terms are not counted."""
STUCK_ATTEMPTS = 3
"""So many withdrawals refused or failed: it need not take hours to see that."""
OUT = (LegState.REDEEMED, LegState.WITHDRAWING, LegState.ARRIVING)


@dataclass(frozen=True, slots=True)
class Stuck:
    """`amount` in base units lies at `venue` and does not come; `reason` is its own last word."""

    venue: str
    leg: LegId
    amount: int
    reason: str


async def of_pool(s: ReadSession, pool_id: PoolId) -> tuple[Stuck, ...]:
    """Oldest first; by the database's time."""
    found = []
    exchanges = {row.id for row in await books.venues(s, pool_id) if row.exchange}
    for leg in await legs.unfinished(s, pool_id):
        if leg.venue_id not in exchanges or leg.action is not Action.EXIT or not _waits(leg):
            continue
        if leg.attempt >= STUCK_ATTEMPTS or await legs.rested(s, leg, STUCK_S):
            reason = leg.reason or f"no news since it was {leg.state.value}"
            found.append(Stuck(leg.venue_id, leg.id, leg.amount, reason))
    return tuple(found)


def _waits(leg: Leg) -> bool:
    refused = leg.state is LegState.REDEEMING and leg.reason is not None
    return refused or leg.state in OUT

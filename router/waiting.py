"""Legs that wait because a move costs more at the moment than the policy allows.

They stay planned, with what is against them, for as long as a plan is patient. Then they end, and
the next plan, which counts the same costs, says why it does not move or plans the move again.
"""

import logging

from router import costs, legs, plan
from router.books import Pool
from router.deps import RouterDeps
from router.legs import Leg
from router.moves import Action
from router.objections import WAITING, Objection, codes_of, text_of

logger = logging.getLogger(__name__)


async def held_back(deps: RouterDeps, pool: Pool, leg: Leg, found: tuple[Objection, ...]) -> bool:
    """Whether the leg only waits; its row says why. False: it is to be ended.

    An entry does not wait for what holders want out: a recall might need its venue.
    """
    patient = deps.clock.now() - leg.created_at < plan.PATIENCE
    if not patient or any(o.code not in WAITING for o in found):
        return False
    reason, codes = text_of(found), codes_of(found)
    async with deps.db.write() as s:
        if leg.action is Action.ENTER and await costs.awaited(s, pool, deps.clock.now()):
            return False
        if (leg.reason, leg.code) != (reason[:500], codes):
            logger.warning("leg waits", extra={"leg": leg.reference, "reason": reason})
            await legs.note(s, leg, reason, codes)
    return True

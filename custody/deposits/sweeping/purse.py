"""The gas wallet and the day's budget: what can be paid for, and when somebody should look."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from chains.evm.client import EvmClient
from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.intents import Intent
from custody.deposits.sweeping.plan import Reason
from custody.deposits.sweeping.rows import KINDS
from custody.deposits.sweeping.strategies import Site

logger = logging.getLogger(__name__)

_SPENT = """
SELECT coalesce(sum(coalesce(fee_paid, CAST(body ->> 'fee_max_wei' AS numeric))), 0)
FROM intents WHERE chain_id = :chain AND tenant_id = :tenant AND kind = ANY(:kinds)
  AND created_at > :since AND (fee_paid IS NOT NULL OR state NOT IN ('refused', 'cancelled'))
"""
_PROMISED = """
SELECT coalesce(sum(CAST(body ->> 'fee_max_wei' AS numeric) + CAST(body ->> 'value' AS numeric)), 0)
FROM intents WHERE chain_id = :chain AND sender = :sender
  AND state NOT IN ('final', 'failed', 'refused', 'cancelled', 'mined')
"""
DAY = timedelta(days=1)


@dataclass(slots=True)
class Purse:
    """Wei that are in the gas wallet, free there, and left of the day's budget for all sweeps.

    Counted down by `take` while a step makes its intents.
    """

    there: int
    free: int
    budget: int

    def take(self, intent: Intent, gas_wallet: str) -> Reason | None:
        """Set aside the most that an intent can cost; why it cannot be paid for, if it cannot."""
        if intent.fee_max_wei > self.budget:
            return Reason.BUDGET
        if intent.sender == gas_wallet:
            if intent.fee_max_wei + intent.value > self.free:
                return Reason.PURSE
            self.free -= intent.fee_max_wei + intent.value
        self.budget -= intent.fee_max_wei
        return None


async def open_purse(
    s: ReadSession, client: EvmClient, site: Site, block: BlockRef, *, now: datetime
) -> Purse:
    """Raises ChainError. What is sent already and not yet mined is counted as gone."""
    key = {"chain": site.chain_id}
    spent = await s.scalar(
        _SPENT,
        {
            **key,
            "tenant": site.tenant_id,
            "kinds": [kind.value for kind in KINDS],
            "since": now - DAY,
        },
    )
    promised = await s.scalar(_PROMISED, {**key, "sender": site.gas.address})
    there = await client.balance(site.gas.address, block)
    return Purse(there, there - int(promised), site.rules.gas_day_max_wei - int(spent))


def alarm(site: Site, purse: Purse) -> None:
    """Tell who watches the log that the gas wallet is out of its bounds."""
    told = {"chain_id": site.chain_id, "address": site.gas.address, "wei": purse.there}
    if purse.there < site.rules.purse_min_wei:
        logger.critical("the gas wallet is nearly empty", extra=told)
    elif purse.there > site.rules.purse_max_wei:
        logger.error("the gas wallet holds more than its cap", extra=told)

"""What a holder may be advised to join: one pool a tier, with its past and its terms of exit.

Reads only. Nothing here or in `advice` moves money or agrees to anything.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from custody.core.db import ReadSession
from custody.core.facts import DAY_S
from custody.core.ids import TenantId, format_id
from custody.core.money import AssetId
from custody.ledger.prices import daily_prices
from router import books, products
from router.advice import History, Offer
from router.books import Pool
from router.states import PoolState
from router.terms import Terms
from router.tiers import ORDER, Tier

HISTORY_DAYS = 1_095
VENUE_EXIT_DAYS = {Tier.CASH: 0, Tier.BONDS: 0, Tier.STAKING: 7, Tier.STRATEGIES: 1}
"""What venues of a tier may take to give money back, beyond the pool's own terms."""


async def offers(
    s: ReadSession, tenant_id: TenantId, asset_id: AssetId, at: datetime
) -> list[Offer]:
    """Tiers from the safest on; of several pools that may be joined, the one with the longest past.

    The other pools of the tier lend their past where that is short, also those that are closed.
    """
    found: dict[Tier, list[tuple[Pool, Terms, History]]] = {tier: [] for tier in ORDER}
    for item in await books.pools(s, tenant_id):
        if item.asset_id == asset_id:
            past = await history(s, item, at)
            found[item.tier].append((item, await products.current(s, item), past))
    made = (_offer(tier, pools, at) for tier, pools in found.items())
    return [offer for offer in made if offer is not None]


async def history(s: ReadSession, item: Pool, at: datetime) -> History:
    """One price a day, the last of which is today's so far."""
    rows = await daily_prices(s, item.tenant_id, item.id, at, HISTORY_DAYS)
    return History(at.date(), tuple(price for _, price in rows))


def _offer(tier: Tier, pools: Sequence[tuple[Pool, Terms, History]], at: datetime) -> Offer | None:
    able = [p for p in pools if p[0].state == PoolState.OPEN and not _over(p[1], at)]
    if not able:
        return None
    item, terms, own = max(able, key=lambda p: (len(p[2].prices_ray), -p[0].id.int))
    others = tuple(past for other, _, past in pools if other.id != item.id)
    return Offer(tier, format_id("pool", item.id), exit_days(tier, terms, at), own, others)


def _over(terms: Terms, at: datetime) -> bool:
    return terms.maturity is not None and terms.matured(at)


def exit_days(tier: Tier, terms: Terms, at: datetime) -> int:
    """Whole days, rounded up, until money that joins now is back without a fee."""
    until = timedelta(seconds=terms.minimum_stay_s)
    if terms.maturity is not None:
        until = max(until, terms.maturity - at)
    seconds = until + timedelta(seconds=terms.notice_s)
    return -(-seconds // timedelta(seconds=DAY_S)) + VENUE_EXIT_DAYS[tier]

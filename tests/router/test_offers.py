"""Offers from the books, and that advice leaves everything as it was."""

from datetime import UTC, datetime, timedelta

import pytest

from custody.ledger.prices import SharePrice, record_price
from router import offers, pool
from router.advice import Wish, advise
from router.curves import BPS, RAY
from router.fees import FeeTerms
from router.states import PoolState
from router.terms import Kind, Terms
from router.tiers import Tier
from tests.router.pool_world import START, UNIT
from tests.router.world import ASSET, CHAIN, World

pytestmark = pytest.mark.postgres

DAY_S = 86_400
UNTIL = START + timedelta(days=100, hours=5)


async def prices(world: World, days: int, *, per_day: int = 2) -> None:
    """Growth of a bps a day; of two prices a day the first is one nobody should see."""
    async with world.db.write() as s:
        for n in range(days * per_day):
            day, late = divmod(n, per_day)
            price = (RAY // 10**6) * (BPS + day) // BPS if late else 1
            at = UNTIL - timedelta(days=days - 1 - day) + timedelta(hours=late)
            await record_price(
                s, world.tenant,
                SharePrice(world.pool_id, ASSET, price, 1, 1, CHAIN, 1_000 + n, at),
            )  # fmt: skip


async def test_history_is_the_last_price_of_each_day_without_gaps(world: World) -> None:
    await prices(world, 40)
    async with world.db.write() as s:
        item = await world.pool_row(s)
        found = await offers.history(s, item, UNTIL + timedelta(days=2))
    assert len(found.prices_ray) == 42
    assert found.prices_ray[:2] == (RAY // 10**6, (RAY // 10**6) * 10_001 // 10_000)
    assert len(set(found.prices_ray[-3:])) == 1, "a day without a price has that of before"


async def test_advice_moves_nothing_and_agrees_to_nothing(world: World) -> None:
    """Never without consent: not one row is written."""
    ann = await world.customer("ann", 10 * UNIT)
    await prices(world, 100)
    tables = "pool_consents", "transfers", "redemptions", "pool_fundings", "audit_entries"
    counts = []
    for _ in range(2):
        async with world.db.read() as s:
            counts.append([await s.scalar(f"SELECT count(*) FROM {t}") for t in tables])
            found = advise(Wish(30, 0, 1, BPS), await offers.offers(s, world.tenant, ASSET, UNTIL))
    assert counts[0] == counts[1]
    first, balance = found.parts
    assert (first.tier, first.share_bps, balance.share_bps) == ("strategies", BPS, 0)
    with pytest.raises(Exception, match="opt in"):
        async with world.db.write() as s:
            await pool.join(s, world.tenant, world.pool_id, ann, UNIT, at=world.clock.now())


async def test_what_nobody_may_join_is_not_advised(world: World) -> None:
    await prices(world, 100)
    async with world.db.write() as s:
        assert len(await offers.offers(s, world.tenant, ASSET, UNTIL)) == 1
        await s.execute("UPDATE pools SET state = :state", {"state": PoolState.PAUSED.value})
        assert await offers.offers(s, world.tenant, ASSET, UNTIL) == []


@pytest.mark.parametrize(
    ("terms", "tier", "days"),
    [
        (Terms(Kind.FLEXIBLE, "t", FeeTerms(0)), Tier.CASH, 0),
        (Terms(Kind.FLEXIBLE, "t", FeeTerms(0)), Tier.STAKING, 7),
        (Terms(Kind.FLEXIBLE, "t", FeeTerms(0), notice_s=1), Tier.CASH, 1),
        (Terms(Kind.FLEXIBLE, "t", FeeTerms(0), minimum_stay_s=10 * DAY_S, notice_s=DAY_S),
         Tier.CASH, 11),
        (Terms(Kind.FIXED, "t", FeeTerms(0), maturity=datetime(2026, 1, 31, 1, tzinfo=UTC),
               minimum_stay_s=DAY_S), Tier.BONDS, 31),
    ],
)  # fmt: skip
def test_days_until_money_is_back(terms: Terms, tier: Tier, days: int) -> None:
    assert offers.exit_days(tier, terms, START) == days

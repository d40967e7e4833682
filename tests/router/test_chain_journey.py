"""Both pools of the demo on the real chain: in, routed, accrued, and everybody out again."""

from collections.abc import AsyncIterator

import pytest

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.world import DevnetChain
from custody.core.db import Database
from router import accrual
from router.rates.compare import compare
from router.venues.cefi.binance import Binance
from tests.router.books_check import assert_sound
from tests.router.chain_world import ETHER, ChainWorld, binance_on, eth_site, places_of, usdc_site
from tests.router.pool_world import UNIT

pytestmark = pytest.mark.chain

KEY = "router-tests"
DAY = 86_400


@pytest.fixture(scope="module")
def places(running: DevnetChain) -> dict[str, str]:
    return places_of(running, deposit_address(KEY))


@pytest.fixture
async def binance(chain: DevnetChain) -> AsyncIterator[Binance]:
    async with binance_on(chain, KEY) as client:
        yield client


async def test_usdc_pool_over_three_venues_and_back(
    database: Database, chain: DevnetChain, places: dict[str, str], binance: Binance
) -> None:
    world = ChainWorld(database, chain, usdc_site(chain, places), {"simulated": binance})
    await world.set_up()
    ann = await world.customer("ann", 600_000 * UNIT)
    bob = await world.customer("bob", 400_000 * UNIT)
    await world.join(ann, 600_000 * UNIT)
    await world.join(bob, 400_000 * UNIT)
    await world.run()
    rates = {row.venue: row for row in await compare(world.deps, world.tenant, world.pool_id)}
    assert set(rates) == set(world.site.venues)
    assert all(row.apr_now and not row.refusal for row in rates.values())
    v = await world.view()
    assert v.venues["exchange-usdc"] == 200_000 * UNIT
    assert v.idle == 100_000 * UNIT == await world.guard_idle()
    assert sum(v.venues.values()) == 900_000 * UNIT
    assert all(amount > 0 for amount in v.venues.values())

    await accrual.step(world.deps)
    first = await world.view()
    world.warp(30 * DAY)
    await accrual.step(world.deps)
    grown = await world.view()
    assert grown.price_ray > first.price_ray
    assert grown.spread > 0
    assert 10_002_000 * UNIT // 10 < grown.totals.assets < 1_010_000 * UNIT
    await assert_sound(world)

    owed = {h.customer_id: h.value for h in grown.holdings}
    await world.leave_all()
    await world.run(24)
    v = await world.view()
    assert v.totals.shares == 0
    # Both are paid their part of what the pool had when they were paid: no less than before.
    assert await world.balance(ann) >= owed[ann]
    assert await world.balance(bob) >= owed[bob]
    assert v.idle == await world.guard_idle()
    await assert_sound(world)
    await world.close()


async def test_eth_pool_stakes_and_leaves_through_the_queue(
    database: Database, chain: DevnetChain, places: dict[str, str]
) -> None:
    world = ChainWorld(database, chain, eth_site(chain, places), {})
    await world.set_up()
    ann = await world.customer("ann", 100 * ETHER)
    await world.customer("bob", ETHER)  # the treasury pays its gas out of what lies in it
    await world.join(ann, 100 * ETHER)
    await world.run(4)
    v = await world.view()
    assert (v.idle, v.venues["staking-eth"]) == (10 * ETHER, 90 * ETHER)
    await accrual.step(world.deps)
    world.warp(30 * DAY)
    await accrual.step(world.deps)
    earned = 90 * ETHER * 320 // 10_000 * 30 // 365
    v = await world.view()
    assert abs(v.totals.assets + v.spread - 100 * ETHER - earned) < earned // 1000
    await assert_sound(world)

    await world.leave_all()
    await world.run(4)
    assert await world.balance(ann) == 0, "the queue takes a day"
    world.warp(2 * DAY)
    await world.run(6)
    assert await world.balance(ann) >= v.totals.assets
    assert (await world.view()).totals.shares == 0
    await assert_sound(world)
    await world.close()

"""Kraken Earn on the real chain: guard, deposit address, strategy, and back by its withdrawal."""

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.exchange_simulator import serving
from chains.devnet.kraken_simulator import open_kraken
from chains.devnet.world import DevnetChain
from custody.core.db import Database
from router import accrual
from router.rates.compare import compare
from router.tiers import Tier
from router.venues.cefi.kraken import Kraken
from tests.router.books_check import assert_sound
from tests.router.chain_world import ChainWorld, places_of, usdc_site
from tests.router.pool_world import UNIT, Site

pytestmark = pytest.mark.chain

KEY, SECRET = "kraken-journey", base64.b64encode(b"not a secret: tests only").decode()
VENUE, DAY = "exchange-usdc", 86_400


@pytest.fixture(scope="module")
def places(running: DevnetChain) -> dict[str, str]:
    return places_of(running, deposit_address(KEY))


@pytest.fixture
async def kraken(chain: DevnetChain, places: dict[str, str]) -> AsyncIterator[Kraken]:
    """Knows one address of ours by name: the guard's."""
    simulated = await open_kraken(
        chain.anvil.rpc_url, chain.world, api_key=KEY, api_secret=SECRET,
        keys={"guard": places["guard_usdc"]},
    )  # fmt: skip
    simulated.book.withdrawal_fees["USDC"] = 2 * UNIT
    async with serving(simulated) as url:
        client = Kraken(url, KEY, SECRET, lambda: time.time_ns() // 1_000)
        yield client
        await client.close()


def site_of(chain: DevnetChain, places: dict[str, str]) -> Site:
    site = usdc_site(chain, places)
    kind, tier, config = site.venues[VENUE]
    strategy = {**config, "product": "ESUSDC-INSTA-SIMUL1", "network": "guard"}
    return replace(site, venues={**site.venues, VENUE: (kind, tier, strategy)})


async def test_usdc_goes_to_the_strategy_earns_and_comes_back(
    database: Database, chain: DevnetChain, places: dict[str, str], kraken: Kraken
) -> None:
    world = ChainWorld(database, chain, site_of(chain, places), {"simulated": kraken})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run()
    [row] = [r for r in await compare(world.deps, world.tenant, world.pool_id) if r.venue == VENUE]
    assert (row.apr_now, row.tier, row.refusal) == ("0.050000000000", Tier.STRATEGIES, "")
    assert (await world.view()).venues[VENUE] == 200_000 * UNIT
    await accrual.step(world.deps)
    world.warp(30 * DAY)
    await accrual.step(world.deps)
    earned = (await world.view()).venues[VENUE] - 200_000 * UNIT
    expected = 200_000 * UNIT * 5 * 30 // 36_500
    assert 0 <= earned - expected < expected // 100
    await assert_sound(world)

    await world.leave_all()
    await world.run(28)
    v = await world.view()
    assert v.totals.shares == 0
    assert await world.balance(ann) > 1_000_000 * UNIT
    assert v.idle == await world.guard_idle()
    await assert_sound(world)
    await world.close()

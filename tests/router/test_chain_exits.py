"""Property 56 on the real contracts: every kind of venue left: paused, frozen, short of money."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.scenario import aave, prices, usdc
from chains.devnet.world import DevnetChain
from custody.core.db import Database
from custody.core.money import AssetId
from custody.core.prices import Price
from custody.parties import places as custody_places
from custody.policy.price_sources import Feed, OracleFeed, OracleSource
from custody.policy.price_sources import step as poll_prices
from router import (
    accrual,
    books,
    departures,
    flags,
    funding,
    legs,
    live_guard,
    orders,
    pool,
    rebalance,
)
from router.legs import Leg
from router.moves import Action
from router.price_watch import Peg
from router.states import LegState
from router.venues.cefi.binance import Binance
from tests.router.books_check import assert_sound
from tests.router.chain_world import ETHER, ChainWorld, binance_on, eth_site, places_of, usdc_site
from tests.router.pool_world import UNIT

pytestmark = pytest.mark.chain

KEY = "router-exits"
AAVE, VAULT, EXCHANGE = "aave-usdc", "vault-usdc", "exchange-usdc"
MILLION = 10**6 * UNIT
CRUMBS = UNIT // 100
"""What interest adds between a leg's amount and its block; less than a ticket stays."""


@pytest.fixture(scope="module")
def places(running: DevnetChain) -> dict[str, str]:
    return places_of(running, deposit_address(KEY))


@pytest.fixture
async def binance(chain: DevnetChain) -> AsyncIterator[Binance]:
    async with binance_on(chain, KEY) as client:
        yield client


@pytest.fixture
async def world(
    database: Database, chain: DevnetChain, places: dict[str, str], binance: Binance
) -> AsyncIterator[ChainWorld]:
    made = ChainWorld(database, chain, usdc_site(chain, places), {"simulated": binance})
    await made.set_up()
    ann = await made.customer("ann", MILLION)
    await made.join(ann, MILLION)
    yield made
    await made.close()


async def order(world: ChainWorld, venue: str) -> None:
    async with world.db.write() as s:
        await departures.order(
            s, world.tenant, world.pool_id, venue, by="per_a", reason="a drill",
            at=world.clock.now(),
        )  # fmt: skip


async def exits_of(world: ChainWorld, venue: str) -> list[Leg]:
    async with world.db.read() as s:
        rows = await s.all(
            "SELECT id FROM legs WHERE venue_id = :v AND action = 'exit' ORDER BY id", {"v": venue}
        )
        return [await legs.get(s, row.id) for row in rows]


async def codes(world: ChainWorld) -> dict[str, str | None]:
    async with world.db.read() as s:
        rows = await s.all("SELECT venue_id, code FROM legs ORDER BY id")
    return {row.venue_id: row.code for row in rows}


async def notices(world: ChainWorld) -> dict[str, str]:
    async with world.db.read() as s:
        return {n["venue"]: n["code"] for n in await flags.notices(s, await world.pool_row(s))}


async def left(world: ChainWorld, venue: str) -> int:
    return (await world.view()).venues[venue]


async def test_paused_aave_is_flagged_and_left_once_it_may_be(world: ChainWorld) -> None:
    await world.run(8)
    assert await flags.step(world.deps) == 0, "all can be left"
    before = await left(world, AAVE)
    aave.set_paused(world.url, world.chain.world, "USDC", True)
    assert await flags.step(world.deps) == 1
    assert await notices(world) == {AAVE: "paused"}
    await order(world, AAVE)
    await world.run(2)
    assert [leg.state for leg in await exits_of(world, AAVE)] == [LegState.WAITING]
    assert await left(world, AAVE) == before > 0
    aave.set_paused(world.url, world.chain.world, "USDC", False)
    assert await flags.step(world.deps) == 1
    assert await notices(world) == {}
    world.clock.advance(300)
    await world.run(2)
    assert await left(world, AAVE) <= CRUMBS
    await assert_sound(world)


async def test_frozen_aave_is_not_entered_and_is_left(world: ChainWorld) -> None:
    await funding.step(world.deps)
    await world.mine()
    world.blocks()
    await rebalance.step(world.deps)
    aave.set_frozen(world.url, world.chain.world, "USDC", True)
    await rebalance.step(world.deps)
    assert (await codes(world))[AAVE] == "refused-by-venue"
    aave.set_frozen(world.url, world.chain.world, "USDC", False)
    await world.run(8)
    assert await left(world, AAVE) > 0
    aave.set_frozen(world.url, world.chain.world, "USDC", True)
    assert await flags.step(world.deps) == 0
    await order(world, AAVE)
    await world.run(3)
    assert await left(world, AAVE) <= CRUMBS
    await assert_sound(world)


async def test_drained_aave_gives_what_it_has_and_the_rest_later(world: ChainWorld) -> None:
    await world.run(8)
    before = await left(world, AAVE)
    total = aave.usage(world.url, world.chain.world, "USDC").total
    part = before // 3
    bps = (total - part) * 10_000 // total
    aave.borrow_to_utilisation(world.url, world.chain.world, "USDC", bps)
    await flags.step(world.deps)
    await order(world, AAVE)
    await world.run(2)
    now = await left(world, AAVE)
    assert 0 < now < before
    assert before - now >= part * 9 // 10
    assert [leg.state for leg in await exits_of(world, AAVE)][-1] is LegState.WAITING
    assert await notices(world) == {}, "doubtful only: it has not been long"
    world.clock.advance(6 * 3_600)
    await flags.step(world.deps)
    assert set(await notices(world)) == {AAVE}
    aave.borrow_to_utilisation(world.url, world.chain.world, "USDC", 5_000)
    await world.run(4)
    assert await left(world, AAVE) <= CRUMBS
    await flags.step(world.deps)
    assert await notices(world) == {}
    await assert_sound(world)


async def test_paused_token_holds_the_vault_and_nothing_is_sent(world: ChainWorld) -> None:
    await world.run(8)
    usdc.pause(world.url, world.chain.world)
    await flags.step(world.deps)
    assert (await notices(world))[VAULT] == "paused"
    await order(world, VAULT)
    await world.run(2)
    assert [leg.state for leg in await exits_of(world, VAULT)] == [LegState.WAITING]
    usdc.unpause(world.url, world.chain.world)
    world.clock.advance(300)
    await world.run(2)
    assert await left(world, VAULT) <= CRUMBS
    await flags.step(world.deps)
    assert await notices(world) == {}
    await assert_sound(world)


async def test_exchange_is_left_by_order(world: ChainWorld) -> None:
    await world.run(10)
    assert await left(world, EXCHANGE) > 0
    await order(world, EXCHANGE)
    await world.run(14)
    assert await left(world, EXCHANGE) <= CRUMBS
    await assert_sound(world)


class Spot:
    """A second source that says what it is told, in millionths of a dollar."""

    def __init__(self, world: ChainWorld) -> None:
        self.world, self.micro = world, 10**6

    async def price(self, asset: AssetId) -> Price:
        return Price(asset, "USD", self.micro, 12, "spot", self.world.clock.now(), None)


@pytest.mark.parametrize(
    ("oracle_usd", "spot_micro", "code"),
    [
        (10**8, 10**6, None),
        (97 * 10**6, 970_000, "depeg"),
        (97 * 10**6, 10**6, "price-unknown"),
        (10**8, None, "price-unknown"),
    ],
)
async def test_depeg_by_the_oracle(
    world: ChainWorld, oracle_usd: int, spot_micro: int | None, code: str | None
) -> None:
    asset = world.site.asset_id
    await funding.step(world.deps)
    await world.mine()
    world.blocks()
    await rebalance.step(world.deps)  # planned while no price is watched
    world.deps = replace(world.deps, pegs={asset: Peg(6, 10**6)})
    prices.set_price(world.url, world.chain.world, "USDC", oracle_usd)
    token = world.chain.world.tokens["USDC"].address
    oracle = OracleFeed(world.site.chain_id, world.chain.world.aave.oracle, token, 6)
    feeds = [Feed(asset, OracleSource(world.deps.clients, {asset: oracle}, world.clock))]
    spot = Spot(world)
    if spot_micro is not None:
        spot.micro = spot_micro
        feeds.append(Feed(asset, spot))
    await poll_prices(world.db, world.clock, feeds)
    await rebalance.step(world.deps)
    assert (await codes(world))[AAVE] == code


async def test_staking_queue_is_left_by_order(
    database: Database, chain: DevnetChain, places: dict[str, str]
) -> None:
    world = ChainWorld(database, chain, eth_site(chain, places), {})
    await world.set_up()
    ann = await world.customer("ann", 100 * ETHER)
    await world.customer("bob", ETHER)
    await world.join(ann, 100 * ETHER)
    await world.run(4)
    assert await left(world, "staking-eth") == 90 * ETHER
    assert await flags.step(world.deps) == 0
    await order(world, "staking-eth")
    await world.run(3)
    assert {leg.state for leg in await exits_of(world, "staking-eth")} == {LegState.QUEUED}
    world.warp(2 * 86_400)
    await world.run(4)
    assert await left(world, "staking-eth") <= 2, "shares round"
    assert await world.guard_idle() >= 100 * ETHER - 2
    await assert_sound(world)
    await world.close()


async def test_a_small_exit_in_the_queue_holds_up_no_holder(
    database: Database, chain: DevnetChain, places: dict[str, str]
) -> None:
    world = ChainWorld(database, chain, eth_site(chain, places), {})
    await world.set_up()
    ann = await world.customer("ann", 100 * ETHER)
    await world.customer("bob", ETHER)
    await world.join(ann, 100 * ETHER)
    await world.run(4)
    async with world.db.write() as s:
        item, at = await world.pool_row(s), world.clock.now()
        await legs.add(s, item, None, "staking-eth", Action.EXIT, ETHER, at=at)
    await world.run(2)
    assert {leg.state for leg in await exits_of(world, "staking-eth")} == {LegState.QUEUED}
    async with world.db.write() as s:
        held = await pool.mine(s, world.tenant, world.pool_id, ann)
        at = world.clock.now()
        await pool.leave(s, world.tenant, world.pool_id, ann, held.shares, at=at)
    await world.run(2)
    world.warp(60)
    await accrual.step(world.deps)
    await world.run(2)  # what was earned since all was asked for is no exit of its own
    asked = await exits_of(world, "staking-eth")
    assert [leg.state for leg in asked] == [LegState.QUEUED] * 2
    assert sum(leg.amount for leg in asked) >= 90 * ETHER - 2
    world.warp(2 * 86_400)
    await world.run(5)
    assert await world.balance(ann) >= 100 * ETHER - 2, "shares round"
    world.warp(2 * 86_400)
    await world.run(5)
    assert (await world.view()).totals.assets <= 2, "what was earned meanwhile has followed"
    await assert_sound(world)
    await world.close()


@pytest.mark.parametrize("share_bps", [10, 3_000, 9_000, 9_900, 9_990, 10_000])
async def test_what_we_compute_is_what_the_guard_says(world: ChainWorld, share_bps: int) -> None:
    """Refused by us before it is sent, exactly where the contract reverts."""
    await funding.step(world.deps)
    await world.mine()
    world.blocks()
    amount = MILLION * share_bps // 10_000
    async with world.db.write() as s:
        pool = await world.pool_row(s)
        id_ = await legs.add(s, pool, None, AAVE, Action.ENTER, amount, at=world.clock.now())
        leg = await legs.get(s, id_)
        row = next(v for v in await books.venues(s, pool.id) if v.id == AAVE)
        allocator = await custody_places.place(
            s, world.tenant, pool.chain_id, custody_places.ALLOCATOR
        )
    block = await world.evm.block("latest")
    found: list[Any] = await live_guard.guard_objections(
        world.deps, pool, row, leg, allocator, block
    )
    intent = orders.enter(pool, row, allocator, id_, amount, 0, "x")
    reason = await live_guard.would_revert(world.deps, intent)
    assert bool(found) == bool(reason), (found, reason)
    assert bool(found) == (share_bps > 9_900)

"""What moves cost on the real contracts: gas of each kind of venue, and what is lost on the way."""

from typing import Any

import pytest

from chains.devnet.artifacts import OUT
from chains.devnet.rpc import Artifact, deploy, rpc, send
from chains.devnet.world import DevnetChain
from chains.evm.calldata import encode_call
from chains.evm.contracts.erc4626 import Erc4626
from custody.core.db import Database
from custody.core.ids import new_uuid7
from custody.core.intents import IntentKind
from custody.parties import places as custody_places
from router import books, costs, live_guard, orders
from router.cost_rules import FORECAST
from router.costs import Costs
from router.policy import RebalanceRule
from tests.router.books_check import assert_sound
from tests.router.chain_world import ETHER, ChainWorld, eth_site, places_of, usdc_site
from tests.router.pool_world import UNIT
from tests.router.risk.documents import GOOD
from tests.router.test_lending_journey import PAYEE, lending_site
from tests.router.test_risk_plan import governed

pytestmark = pytest.mark.chain

NONE_LOST = RebalanceRule(1, 0, UNIT, 0, slippage_max_bps=0)


async def intent_of(world: ChainWorld, venue: str, amount: int, *, enter: bool) -> Any:
    """The row of the venue, and the call that moves so much."""
    async with world.db.read() as s:
        pool = await world.pool_row(s)
        row = await books.venue(s, pool.id, venue)
        allocator = await custody_places.place(s, pool.tenant_id, pool.chain_id, "allocator")
    id_ = new_uuid7()
    if enter:
        return pool, row, orders.enter(pool, row, allocator, id_, amount, 0, "a look")
    guard_venue = row.config["guard_venue"]
    return pool, row, orders.deallocate(pool, allocator, id_, guard_venue, amount, "a look")


async def cost_of(
    world: ChainWorld, venue: str, amount: int, rule: RebalanceRule, *, enter: bool
) -> tuple[int, Costs]:
    pool, row, intent = await intent_of(world, venue, amount, enter=enter)
    gas = await live_guard.simulate(world.deps, intent)
    return gas, await costs.of_leg(world.deps, pool, row, intent, gas, rule)


async def test_every_vault_costs_less_gas_than_plans_count_on_and_loses_nothing(
    database: Database, chain: DevnetChain
) -> None:
    site = lending_site(chain)
    world = ChainWorld(database, chain, site, {})
    await world.set_up()
    strict = {
        **GOOD["rebalance"], "ticket": str(UNIT), "min_gain": "1", "turnover_share_max": None,
        "gas_max": None, "slippage_max_bps": 0,
    }  # fmt: skip
    await governed(world, groups=[], rebalance=strict)
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run(6)
    placed = (await world.view()).venues
    async with world.db.read() as s:
        legs_ = await s.all("SELECT venue_id, slippage, state FROM legs ORDER BY id")
    assert {r.venue_id for r in legs_} >= {v for v, amount in placed.items() if amount}
    assert all(r.state == "done" and 0 <= r.slippage <= 2 for r in legs_), legs_
    for venue in site.venues:
        gas, seen = await cost_of(world, venue, 5_000 * UNIT, NONE_LOST, enter=True)
        assert gas <= FORECAST[IntentKind.ALLOCATE], (venue, gas)
        assert (seen.objections, seen.gas) == ((), None), venue
        if placed[venue]:
            gas, seen = await cost_of(world, venue, 5_000 * UNIT, NONE_LOST, enter=False)
            assert gas <= FORECAST[IntentKind.DEALLOCATE], (venue, gas)
            assert seen.objections == (), venue
        block = await world.evm.block("latest")
        given, taken = await Erc4626(world.evm, site.venues[venue][2]["token"]).round_trip(
            5_000 * UNIT, block
        )
        assert 0 <= 5_000 * UNIT - given <= 2, venue
        assert 0 <= taken - 5_000 * UNIT <= 2, venue
    await assert_sound(world)
    await world.close()


def turn_hostile(chain: DevnetChain, vault: str) -> None:
    """The same vault with the code of one whose price somebody moves while we leave."""
    url, deployer = chain.anvil.rpc_url, chain.world.accounts.deployer
    artifact = Artifact.load(OUT / "HostileVenues.sol" / "HostileVault.json")
    other = deploy(url, deployer, artifact, chain.world.tokens["USDC"].address)
    rpc(url, "anvil_setCode", vault, rpc(url, "eth_getCode", other, "latest"))
    for slot in range(5, 12):  # behind those of the shares, which both have alike
        rpc(url, "anvil_setStorageAt", vault, hex(slot), "0x" + "00" * 32)
    send(url, deployer, vault, "setPrice(uint256)", 10_000)
    fall = encode_call("setPrice(uint256)", 9_500)
    send(url, deployer, vault, "hook(address,bytes)", vault, fall)


async def test_what_an_exit_would_really_lose_is_seen_before_it_is_sent(
    database: Database, chain: DevnetChain
) -> None:
    world = ChainWorld(database, chain, usdc_site(chain, places_of(chain, PAYEE)), {})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run(6)
    there = (await world.view()).venues["vault-usdc"]
    for venue in ("aave-usdc", "vault-usdc"):
        for enter, kind in ((True, IntentKind.ALLOCATE), (False, IntentKind.DEALLOCATE)):
            gas, seen = await cost_of(world, venue, UNIT, NONE_LOST, enter=enter)
            assert gas <= FORECAST[kind], (venue, gas)
            assert seen.objections == ()
    turn_hostile(chain, chain.world.vault_usdc)
    rule = RebalanceRule(1, 0, UNIT, 0, slippage_max_bps=100)
    _, seen = await cost_of(world, "vault-usdc", there // 2, rule, enter=False)
    [why] = seen.objections
    assert (why.code, why.reason.split(" of ")[1]) == (
        "slippage", f"{there // 2} would be lost, 100 bp may be")  # fmt: skip
    assert seen.lost is not None
    assert there // 2 * 2 // 100 < seen.lost
    await world.close()


async def test_gas_of_a_pool_in_the_chains_coin_needs_no_price(
    database: Database, chain: DevnetChain
) -> None:
    world = ChainWorld(database, chain, eth_site(chain, places_of(chain, PAYEE)), {})
    await world.set_up()
    rule = {
        **GOOD["rebalance"], "ticket": str(ETHER // 100), "min_gain": "1",
        "turnover_share_max": None, "gas_max": str(ETHER), "slippage_max_bps": 1,
    }  # fmt: skip
    await governed(world, groups=[], rebalance=rule)
    ann = await world.customer("ann", 10 * ETHER)
    await world.customer("bob", ETHER)
    await world.join(ann, 10 * ETHER)
    await world.run(4)
    async with world.db.read() as s:
        [leg] = await s.all("SELECT gas_cost, slippage, state FROM legs")
    assert (leg.state, leg.slippage <= 2) == ("done", True)
    assert 10**12 < leg.gas_cost < ETHER // 100
    price = RebalanceRule(1, 0, UNIT, 0, gas_max=int(leg.gas_cost) // 10)
    for enter, kind in ((True, IntentKind.ALLOCATE), (False, IntentKind.DEALLOCATE)):
        gas, seen = await cost_of(world, "staking-eth", ETHER // 10, price, enter=enter)
        assert gas <= FORECAST[kind], gas
        assert [o.code for o in seen.objections] == ["gas-ceiling"]
    await world.close()

"""One pool over Aave's wrapper, MetaMorpho and a market of Compound's shape: in, grown, out."""

import pytest

from chains.devnet.artifacts import OUT
from chains.devnet.deploy import UnlockedNode
from chains.devnet.rpc import call_uint, encode_call, rpc, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.contracts.guard_setup import VenueTerms, venue_id
from chains.evm.contracts.treasury_guard import VenueKind
from chains.evm.deployment import ours
from chains.evm.deployment.placing import Site as Place
from chains.evm.deployment.placing import place
from custody.core.db import Database
from router import accrual
from router.tiers import Tier
from tests.router.books_check import assert_sound
from tests.router.chain_world import ChainWorld, places_of, usdc_site
from tests.router.pool_world import UNIT, Site

pytestmark = pytest.mark.chain

DAY = 86_400
LISTING = "(bytes32,uint8,address,address,(uint256,uint256,uint256))"
LIMITS = (5_000_000 * UNIT, 9_900, 5_000_000 * UNIT)
PAYEE = checksum("0x" + "77" * 20)


def wrapper_of(chain: DevnetChain, guard: str) -> str:
    """Our VTokenVault over Venus's USDC market, placed for this guard."""
    world = chain.world
    market, usdc = world.compound.v_tokens["USDC"], world.tokens["USDC"].address
    placement = ours.vtoken_vault("vtoken_vault", market, guard, usdc)
    site = Place.of(placement, ours.builds(OUT)["VTokenVault"])
    place(UnlockedNode(chain.anvil.rpc_url, checksum(world.accounts.deployer)), [site])
    return site.address


def list_venues(chain: DevnetChain, guard: str, vaults: dict[str, str]) -> None:
    """By the owner's proposals: they wait two days."""
    url, owner = chain.anvil.rpc_url, checksum(rpc(chain.anvil.rpc_url, "eth_accounts")[0])
    calls = []
    for name, vault in vaults.items():
        terms = VenueTerms(name, VenueKind.ERC4626, vault, vault, *LIMITS)
        calls.append(bytes.fromhex(encode_call(f"addVenue({LISTING})", terms.encoded())[2:]))
        send(url, owner, guard, "propose(bytes)", calls[-1])
    warp(url, 2 * DAY + 1)
    for call in calls:
        send(url, owner, guard, "execute(bytes)", call)


def lending_site(chain: DevnetChain) -> Site:
    world, at = chain.world, places_of(chain, PAYEE)
    found = usdc_site(chain, at)
    vaults = {
        "stata-usdc": world.aave.reserves["USDC"].stata,
        "metamorpho-usdc": world.morpho.vault,
        "compound-usdc": wrapper_of(chain, found.guard),
    }
    list_venues(chain, found.guard, vaults)

    def config(name: str, **more: str) -> dict[str, str]:
        guard_venue = "0x" + venue_id(name).hex()
        return {"token": vaults[name], "guard_venue": guard_venue, **more}

    market = world.compound.v_tokens["USDC"]
    venues = {
        "stata-usdc": ("stata", Tier.CASH, config("stata-usdc", pool=world.aave.pool)),
        "metamorpho-usdc": ("metamorpho", Tier.BONDS, config("metamorpho-usdc")),
        "compound-usdc": ("compound", Tier.STRATEGIES, config("compound-usdc", market=market)),
    }
    shares = {Tier.CASH: "0.40", Tier.BONDS: "0.40", Tier.STRATEGIES: "0.40"}
    return Site(
        chain_id=found.chain_id, asset_id=found.asset_id, token=found.token, guard=found.guard,
        treasury=found.treasury, allocator=found.allocator, others=found.others,
        payees=found.payees, tier=found.tier, venues=venues, shares=shares,
    )  # fmt: skip


def borrow_all_but(chain: DevnetChain, left: int) -> int:
    """The borrower takes Venus's cash but for so much; what it took."""
    url, world = chain.anvil.rpc_url, chain.world
    market, v_weth = (world.compound.v_tokens[s] for s in ("USDC", "WETH"))
    borrower, pledge = world.accounts.borrower, 3_000 * 10**18
    weth = world.tokens["WETH"].address
    send(url, borrower, weth, "approve(address,uint256)", v_weth, pledge)
    send(url, borrower, v_weth, "mint(uint256)", pledge)
    cash, reserves = (call_uint(url, market, f"{n}()") for n in ("getCash", "totalReserves"))
    send(url, borrower, market, "borrow(uint256)", cash - reserves - left)
    return cash - reserves - left


def repay(chain: DevnetChain, amount: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    market, borrower = world.compound.v_tokens["USDC"], world.accounts.borrower
    usdc = world.tokens["USDC"].address
    send(url, borrower, usdc, "approve(address,uint256)", market, amount)
    send(url, borrower, market, "repayBorrow(uint256)", amount)


async def test_what_a_drained_market_has_comes_home_and_the_rest_when_it_can(
    database: Database, chain: DevnetChain
) -> None:
    """Property 56: short of liquidity, the exit gives what there is and blocks no other."""
    world = ChainWorld(database, chain, lending_site(chain), {})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run()
    entered = (await world.view()).venues["compound-usdc"]
    assert entered > 100_000 * UNIT

    borrowed = borrow_all_but(chain, 50_000 * UNIT)
    world.blocks()
    await world.leave_all()
    await world.run(12)
    left = dict((await world.view()).venues)
    stuck = left.pop("compound-usdc")
    assert 0 < entered - stuck <= 50_000 * UNIT
    assert sum(left.values()) < 10 * UNIT  # the others' interest since they were left
    assert await world.balance(ann) == 0

    repay(chain, borrowed)
    world.blocks()
    for _ in range(6):  # how many rounds a retry waits depends on the seconds that pass
        await world.run(12)
        if await world.balance(ann):
            break
    assert await world.balance(ann) >= 1_000_000 * UNIT - 10
    await assert_sound(world)
    await world.close()


async def test_pool_over_three_lending_markets_and_back(
    database: Database, chain: DevnetChain
) -> None:
    world = ChainWorld(database, chain, lending_site(chain), {})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await world.run()
    v = await world.view()
    assert sum(v.venues.values()) == 900_000 * UNIT
    assert all(amount > 0 for amount in v.venues.values()), v.venues
    assert v.idle == 100_000 * UNIT == await world.guard_idle()

    await accrual.step(world.deps)
    first = await world.view()
    world.warp(30 * DAY)
    await accrual.step(world.deps)
    grown = await world.view()
    assert grown.price_ray > first.price_ray
    assert 1_001_500 * UNIT < grown.totals.assets < 1_010_000 * UNIT
    await assert_sound(world)

    owed = grown.holdings[0].value
    await world.leave_all()
    await world.run(24)
    v = await world.view()
    assert v.totals.shares == 0
    assert await world.balance(ann) >= owed
    assert v.idle == await world.guard_idle()
    await assert_sound(world)
    await world.close()

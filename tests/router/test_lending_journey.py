"""One pool over Aave's wrapper, MetaMorpho and a market of Compound's shape: in, grown, out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chains.devnet.artifacts import OUT
from chains.devnet.deploy import UnlockedNode
from chains.devnet.rpc import encode_call, rpc, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain, start_chain
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
from tests.router.test_chain_journey import balance, leave_all, run

pytestmark = pytest.mark.chain

REPO = Path(__file__).resolve().parents[2]
DAY = 86_400
LISTING = "(bytes32,uint8,address,address,(uint256,uint256,uint256))"
LIMITS = (5_000_000 * UNIT, 9_900, 5_000_000 * UNIT)
PAYEE = checksum("0x" + "77" * 20)


@pytest.fixture(scope="module")
def chain() -> Iterator[DevnetChain]:
    started = start_chain(REPO / ".cache", 31337)
    yield started
    started.anvil.stop()


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


async def test_pool_over_three_lending_markets_and_back(
    database: Database, chain: DevnetChain
) -> None:
    world = ChainWorld(database, chain, lending_site(chain), {})
    await world.set_up()
    ann = await world.customer("ann", 1_000_000 * UNIT)
    await world.join(ann, 1_000_000 * UNIT)
    await run(world)
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
    await leave_all(world)
    await run(world, 24)
    v = await world.view()
    assert v.totals.shares == 0
    assert await balance(world, ann) >= owed
    assert v.idle == await world.guard_idle()
    await assert_sound(world)
    await world.close()

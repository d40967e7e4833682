"""Predicted against realised rates on real contracts: 1e-6 relative or better."""

from fractions import Fraction

import pytest

from chains.devnet.rpc import send
from chains.devnet.scenario import aave
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.client import EvmClient
from chains.evm.contracts.aave_pool import AavePool
from router.curves import YEAR_S, rate_ray_down
from router.venues.aave import AaveVenue
from router.venues.erc4626 import VaultVenue
from tests.router.venues.people import HOLDER, TOLERANCE, UNIT, head

pytestmark = pytest.mark.chain


def supply(chain: DevnetChain, amount: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    token, pool, whale = (
        world.tokens["USDC"].address,
        world.aave.pool,
        world.accounts.whale,
    )
    send(url, whale, token, "approve(address,uint256)", pool, amount)
    signature = "supply(address,uint256,address,uint16)"
    send(url, whale, pool, signature, token, amount, HOLDER, 0)


def venue(chain: DevnetChain, client: EvmClient) -> AaveVenue:
    market = chain.world.aave
    usdc = market.reserves["USDC"]
    return AaveVenue(client, market.pool, usdc.asset, usdc.a_token, HOLDER)


@pytest.mark.parametrize("utilised", [False, True], ids=["below the kink", "from above the kink"])
@pytest.mark.parametrize("amount", [1_000, 100_000, 3_000_000, 30_000_000])
async def test_aave_rate_after_our_deposit_is_as_predicted(
    chain: DevnetChain, client: EvmClient, amount: int, utilised: bool
) -> None:
    world, url = chain.world, chain.anvil.rpc_url
    usdc = world.tokens["USDC"].address
    if utilised:
        aave.borrow_to_utilisation(url, world, "USDC", 9_600)
    adapter = venue(chain, client)
    state = await adapter.read(await head(client))
    predicted = rate_ray_down(state.curve, amount * UNIT)
    supply(chain, amount * UNIT)
    after = await AavePool(client, adapter.pool).reserve(usdc, await client.block_number())
    assert abs(Fraction(predicted, after.liquidity_rate_ray) - 1) <= TOLERANCE
    again = await adapter.read(await head(client))
    assert again.position >= amount * UNIT - 1
    own = rate_ray_down(again.curve, again.position)
    assert abs(Fraction(own, after.liquidity_rate_ray) - 1) <= TOLERANCE


async def test_aave_is_not_entered_when_it_is_drained(
    chain: DevnetChain, client: EvmClient
) -> None:
    """Property 56: a pool that is nearly all lent out pays best and is refused."""
    before = await venue(chain, client).read(await head(client))
    aave.borrow_to_utilisation(chain.anvil.rpc_url, chain.world, "USDC", 9_900)
    after = await venue(chain, client).read(await head(client))
    assert rate_ray_down(after.curve, 1) > rate_ray_down(before.curve, 1)
    assert (before.refusal, after.refusal) == ("", "utilisation is above 97 %")


async def test_vault_pays_what_its_curve_says(chain: DevnetChain, client: EvmClient) -> None:
    world, url = chain.world, chain.anvil.rpc_url
    token, vault = world.tokens["USDC"].address, world.vault_usdc
    whale = world.accounts.whale
    adapter = VaultVenue(client, vault, token, HOLDER)
    state = await adapter.read(await head(client))
    amount = 1_000_000 * UNIT
    predicted = rate_ray_down(state.curve, amount)
    send(url, whale, token, "approve(address,uint256)", vault, amount)
    send(url, whale, vault, "deposit(uint256,address)", amount, HOLDER)
    start = await head(client)
    before = await adapter.value(start)
    warp(url, 86_400)
    end = await head(client)
    gained = await adapter.value(end) - before
    realised = Fraction(gained * YEAR_S, before * (end.timestamp - start.timestamp))
    assert abs(Fraction(predicted, 10**27) / realised - 1) <= 10 * TOLERANCE

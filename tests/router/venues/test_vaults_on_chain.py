"""Aave's wrapper, generic vaults by their evidence, bonds."""

from dataclasses import replace
from fractions import Fraction

import pytest

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import deploy
from chains.devnet.scenario import aave
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.client import EvmClient
from chains.evm.contracts.aave_pool import AavePool
from chains.evm.contracts.erc4626 import Erc4626
from router.curves import RAY, rate_ray_down
from router.stated_curves import Flat
from router.venues.aave import AaveVenue
from router.venues.erc4626 import VaultVenue
from router.venues.evidence import evidence_of
from router.venues.stata import StataVenue
from tests.router.venues.people import HOLDER, UNIT, close, deposit, head, yearly

pytestmark = pytest.mark.chain

DAY = 86_400


def stata(chain: DevnetChain, client: EvmClient) -> StataVenue:
    usdc = chain.world.aave.reserves["USDC"]
    return StataVenue(client, chain.world.aave.pool, usdc.asset, usdc.stata, HOLDER)


def plain(chain: DevnetChain, client: EvmClient, **config: str) -> VaultVenue:
    token = chain.world.tokens["USDC"].address
    return VaultVenue(client, chain.world.vault_usdc, token, HOLDER, evidence_of(config))


@pytest.mark.parametrize("bps", [7_000, 9_600])
@pytest.mark.parametrize("amount", [1_000, 3_000_000])
async def test_the_wrapper_pays_what_the_reserve_pays(
    chain: DevnetChain, client: EvmClient, amount: int, bps: int
) -> None:
    """By the reserve's own rate after our deposit, and by what a day brings: Aave's supply index
    grows linearly between two updates."""
    aave.borrow_to_utilisation(chain.anvil.rpc_url, chain.world, "USDC", bps)
    adapter = stata(chain, client)
    state = await adapter.read(await head(client))
    deposit(chain, adapter.token, amount * UNIT)
    start = await head(client)
    reserve = await AavePool(client, adapter.pool).reserve(adapter.underlying, start.number)
    told = Fraction(reserve.liquidity_rate_ray, RAY)
    close(rate_ray_down(state.curve, amount * UNIT), told)
    again = await adapter.read(start)
    close(rate_ray_down(again.curve, again.position), told)
    vault = Erc4626(client, adapter.token)
    before = await vault.price(start.number)
    warp(chain.anvil.rpc_url, DAY)
    end = await head(client)
    index = Fraction(reserve.liquidity_index_ray, RAY)  # the rate is of the index, from its update
    realised = yearly(before, await vault.price(end.number), start, end)
    close(rate_ray_down(state.curve, amount * UNIT), realised * Fraction(before, RAY) / index)


async def test_the_wrapper_has_the_reserves_limits(chain: DevnetChain, client: EvmClient) -> None:
    url, world, adapter = chain.anvil.rpc_url, chain.world, stata(chain, client)
    direct = AaveVenue(
        client, adapter.pool, adapter.underlying, world.aave.reserves["USDC"].a_token, HOLDER
    )
    deposit(chain, adapter.token, 1_000_000 * UNIT)
    state = await adapter.read(await head(client))
    both = await direct.read(await head(client))
    assert (state.refusal, state.withdrawable, state.exit_s) == ("", state.position, 0)
    assert (state.liquidity, state.utilisation_wad) == (both.liquidity, both.utilisation_wad)
    assert state.supply == (both.supply or 0) - state.position

    aave.set_supply_cap(url, world, "USDC", 11_005_000 * UNIT)
    capped = await adapter.read(await head(client))
    assert capped.capacity is not None
    assert 0 < capped.capacity < 5_000 * UNIT
    aave.set_supply_cap(url, world, "USDC", None)

    aave.set_frozen(url, world, "USDC", True)
    frozen = await adapter.read(await head(client))
    assert frozen.refusal == "the reserve is inactive, frozen or paused"
    assert frozen.withdrawable == frozen.position
    aave.set_frozen(url, world, "USDC", False)

    aave.borrow_to_utilisation(url, world, "USDC", 9_950)
    drained = await adapter.read(await head(client))
    assert drained.refusal == "utilisation is above 97 %"
    assert 0 < drained.withdrawable < drained.position

    aave.set_paused(url, world, "USDC", True)
    paused = await adapter.read(await head(client))
    assert (paused.withdrawable, paused.liquidity) == (0, 0)


async def test_a_constant_rate_is_what_the_share_price_has_done(
    chain: DevnetChain, client: EvmClient
) -> None:
    adapter = plain(chain, client, curve="constant", window_blocks="1")
    warp(chain.anvil.rpc_url, DAY)
    block = await head(client)
    state = await adapter.read(block)
    assert isinstance(state.curve, Flat)
    vault, earlier = Erc4626(client, adapter.token), await client.block(block.number - 1)
    seen = yearly(
        await vault.price(earlier.number), await vault.price(block.number), earlier, block
    )
    close(state.curve.rate_ray, seen)
    assert abs(float(seen) - 0.05) < 0.0002  # the vault's reward is 5 % of its seed a year
    assert (state.refusal, state.exit_terms, state.exit_s) == ("", "instant", 0)


async def test_a_price_that_has_not_grown_is_no_evidence(
    chain: DevnetChain, client: EvmClient
) -> None:
    """Here of a vault that nobody has deposited in."""
    usdc = chain.world.tokens["USDC"].address
    names = ("Empty", "EMP")
    args = (chain.anvil.rpc_url, chain.world.accounts.deployer, own_artifact("PlainVault"))
    empty = deploy(*args, usdc, *names)
    warp(chain.anvil.rpc_url, DAY)
    evidence = evidence_of({"curve": "constant", "window_blocks": "1"})
    state = await VaultVenue(client, empty, usdc, HOLDER, evidence).read(await head(client))
    assert state.refusal == "the share price has not grown in the window"
    bare = await VaultVenue(client, empty, usdc, HOLDER).read(await head(client))
    assert bare.refusal == "the vault shows no rate at this block"


async def test_samples_bound_what_may_enter_and_run_out(
    chain: DevnetChain, client: EvmClient
) -> None:
    block = await head(client)
    config = {
        "curve": "sampled", "samples": "1000000000000:0.05,3000000000000:0.03",
        "source": "the issuer's term sheet", "until_s": str(block.timestamp + 100),
    }  # fmt: skip
    adapter = plain(chain, client, **config)
    state = await adapter.read(block)
    assert (state.refusal, state.capacity) == ("", 3_000_000 * UNIT)
    assert rate_ray_down(state.curve, 3_000_000 * UNIT) == 3 * RAY // 100
    deposit(chain, adapter.token, 500_000 * UNIT)
    entered = await adapter.read(await head(client))
    assert entered.capacity == 3_000_000 * UNIT - entered.position
    warp(chain.anvil.rpc_url, 101)
    assert (await adapter.read(await head(client))).refusal == "the samples have run out"


async def test_a_bond_comes_home_at_its_maturity(chain: DevnetChain, client: EvmClient) -> None:
    block = await head(client)
    bond = replace(plain(chain, client), maturity_s=block.timestamp + 30 * DAY)
    deposit(chain, bond.token, 100_000 * UNIT)
    state = await bond.read(await head(client))
    assert (state.refusal, state.exit_terms, state.withdrawable) == ("", "at maturity", 0)
    assert (state.exit_s, state.maturity_s) == (
        block.timestamp + 30 * DAY - state.as_of.timestamp,
        block.timestamp + 30 * DAY,
    )
    warp(chain.anvil.rpc_url, 30 * DAY)
    ripe = await bond.read(await head(client))
    assert (ripe.refusal, ripe.exit_terms, ripe.exit_s) == ("the bond has matured", "instant", 0)
    assert ripe.withdrawable == ripe.position > 100_000 * UNIT


async def test_a_venue_of_another_asset_or_market_is_refused(
    chain: DevnetChain, client: EvmClient
) -> None:
    block, world = await head(client), chain.world
    weth = world.aave.reserves["WETH"].stata
    wrong = replace(stata(chain, client), token=weth)
    assert (await wrong.read(block)).refusal == "the wrapper is of another asset or market"
    mixed = replace(plain(chain, client), token=weth)
    assert (await mixed.read(block)).refusal == "the vault holds another asset"

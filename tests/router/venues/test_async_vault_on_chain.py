"""An ERC-7540 vault (our own double of one): its stages are read, and nothing enters."""

import pytest

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import deploy, send
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from router.venues.erc7540 import AsyncVaultVenue
from router.venues.port import VenueState
from tests.router.venues.people import UNIT, head, whale_pays

pytestmark = pytest.mark.chain


async def test_requests_are_part_of_the_position_at_every_stage(
    chain: DevnetChain, client: EvmClient
) -> None:
    """Asked, claimable, held, asked back: the money is ours all the time, at the vault's price."""
    url, usdc = chain.anvil.rpc_url, chain.world.tokens["USDC"].address
    artifact = own_artifact("AsyncVaultDouble")
    vault = checksum(deploy(url, chain.world.accounts.deployer, artifact, usdc))
    whale = whale_pays(chain, vault, 1_000 * UNIT)
    venue = AsyncVaultVenue(client, vault, usdc, whale)

    async def after(signature: str, *args: object) -> VenueState:
        send(url, whale, vault, signature, *args)
        state = await venue.read(await head(client))
        assert await venue.value(state.as_of) == state.position
        assert state.refusal == "asynchronous vaults are read, not entered"
        assert (state.capacity, state.withdrawable, state.exit_s) == (0, 0, None)
        return state

    asked = await after("requestDeposit(uint256,address,address)", 1_000 * UNIT, whale, whale)
    assert (asked.position, asked.exit_terms, asked.supply) == (1_000 * UNIT, "queue", 0)
    assert (await after("fulfil(address)", whale)).position == 1_000 * UNIT
    assert (await after("claim(address)", whale)).position == 1_000 * UNIT
    grown = await after("setPrice(uint256)", 105 * 10**16)
    assert (grown.position, grown.supply) == (1_050 * UNIT, 0)
    back = await after("requestRedeem(uint256,address,address)", 400 * UNIT, whale, whale)
    assert back.position == 1_050 * UNIT
    waiting = "queue: 400000000 shares wait, 0 can be claimed"
    assert back.exit_terms == waiting
    ready = await after("fulfil(address)", whale)
    assert ready.exit_terms == "queue: 0 shares wait, 400000000 can be claimed"
    assert ready.position == 1_050 * UNIT


async def test_a_vault_of_another_asset_says_so(chain: DevnetChain, client: EvmClient) -> None:
    url, weth = chain.anvil.rpc_url, chain.world.tokens["WETH"].address
    artifact = own_artifact("AsyncVaultDouble")
    vault = checksum(deploy(url, chain.world.accounts.deployer, artifact, weth))
    usdc, whale = chain.world.tokens["USDC"].address, chain.world.accounts.whale
    venue = AsyncVaultVenue(client, vault, usdc, whale)
    assert (await venue.read(await head(client))).refusal == "the vault holds another asset"

"""The price source over Aave's own oracle, on the local world."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from chains.devnet.anvil import REPO
from chains.devnet.world import DevnetChain, start_chain
from chains.evm.client import EvmClient
from custody.core.clock import FixedClock, SystemClock, from_timestamp
from custody.core.money import AssetId
from custody.core.ports import PriceUnavailable
from custody.policy.price_sources import OracleFeed, OracleSource

pytestmark = pytest.mark.chain

CHAIN_ID = 31337
ETH = AssetId(f"eip155:{CHAIN_ID}/slip44:60")
NO_TOKEN = "0x" + "11" * 20


@pytest.fixture(scope="module")
def running() -> Iterator[DevnetChain]:
    chain = start_chain(REPO / ".cache", CHAIN_ID)
    with chain.anvil:
        yield chain


@pytest.fixture
async def client(running: DevnetChain) -> AsyncIterator[EvmClient]:
    client = EvmClient(CHAIN_ID, (running.anvil.rpc_url,))
    yield client
    await client.close()


def source(running: DevnetChain, client: EvmClient, token: str, at: datetime) -> OracleSource:
    feed = OracleFeed(CHAIN_ID, running.world.aave.oracle, token, 18)
    return OracleSource({CHAIN_ID: client}, {ETH: feed}, FixedClock(at))


async def test_per_base_unit_at_a_named_block(running: DevnetChain, client: EvmClient) -> None:
    block = await client.block("latest")
    at = from_timestamp(block.timestamp) + timedelta(seconds=5)
    weth = running.world.tokens["WETH"].address
    got = await source(running, client, weth, at).price(ETH)
    assert (got.value, got.scale) == (3_000 * 10**8, 8 + 18)
    assert (got.block, got.as_of) == (block.number, from_timestamp(block.timestamp))
    assert got.source == f"oracle:{CHAIN_ID}/{running.world.aave.oracle.lower()}"


async def test_a_chain_ahead_of_us_is_read_now(running: DevnetChain, client: EvmClient) -> None:
    early = datetime(2020, 1, 1, tzinfo=UTC)
    weth = running.world.tokens["WETH"].address
    assert (await source(running, client, weth, early).price(ETH)).as_of == early


async def test_no_price_is_named(running: DevnetChain, client: EvmClient) -> None:
    made = source(running, client, NO_TOKEN, SystemClock().now())
    with pytest.raises(PriceUnavailable):
        await made.price(ETH)
    with pytest.raises(PriceUnavailable):
        await made.price(AssetId("other"))

"""A client of the devnet, for readers of venues."""

from collections.abc import AsyncIterator

import pytest

from chains.devnet.world import DevnetChain
from chains.evm.client import EvmClient


@pytest.fixture
async def client(chain: DevnetChain) -> AsyncIterator[EvmClient]:
    made = EvmClient(chain.world.chain_id, [chain.anvil.rpc_url])
    yield made
    await made.close()

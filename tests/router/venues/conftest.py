"""The devnet's world, taken back to where it was after each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chains.devnet.world import DevnetChain, start_chain
from chains.evm.client import EvmClient

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def running() -> Iterator[DevnetChain]:
    started = start_chain(REPO / ".cache", 31337)
    yield started
    started.anvil.stop()


@pytest.fixture
def chain(running: DevnetChain) -> Iterator[DevnetChain]:
    snapshot = running.anvil.snapshot()
    yield running
    running.anvil.revert(snapshot)


@pytest.fixture
async def client(chain: DevnetChain) -> AsyncIterator[EvmClient]:
    made = EvmClient(chain.world.chain_id, [chain.anvil.rpc_url])
    yield made
    await made.close()

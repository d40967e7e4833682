"""One plain Anvil a session; each test gets it as it was after the start."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chains.devnet.anvil import Anvil
from chains.evm.client import EvmClient
from chains.types import Receipt


@pytest.fixture(scope="session")
def anvil_node() -> Iterator[Anvil]:
    with Anvil.start(chain_id=31399) as node:
        yield node


@pytest.fixture
def anvil(anvil_node: Anvil) -> Iterator[Anvil]:
    snapshot = anvil_node.snapshot()
    yield anvil_node
    anvil_node.revert(snapshot)


@pytest.fixture
async def client(anvil: Anvil) -> AsyncIterator[EvmClient]:
    client = EvmClient(anvil.chain_id, [anvil.rpc_url])
    yield client
    await client.close()


@pytest.fixture
def accounts(anvil: Anvil) -> list[str]:
    """Anvil's ten unlocked throw-away accounts."""
    return [str(a) for a in anvil.rpc("eth_accounts")]


async def mined(client: EvmClient, tx_hash: str) -> Receipt:
    """Anvil answers a broadcast before it has mined."""
    while (receipt := await client.receipt(tx_hash)) is None:
        await asyncio.sleep(0.01)
    return receipt

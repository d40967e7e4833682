"""One chain with the world on it for all tests of this folder."""

from collections.abc import Iterator

import pytest

from chains.devnet.anvil import REPO
from chains.devnet.world import DevnetChain, start_chain

CHAIN_ID = 31337


@pytest.fixture(scope="package")
def running() -> Iterator[DevnetChain]:
    chain = start_chain(REPO / ".cache", CHAIN_ID)
    with chain.anvil:
        yield chain


@pytest.fixture
def chain(running: DevnetChain) -> Iterator[DevnetChain]:
    """The shared chain; what a test does to it is undone."""
    snapshot = running.anvil.snapshot()
    yield running
    running.anvil.revert(snapshot)

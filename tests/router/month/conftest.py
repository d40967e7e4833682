"""One chain a module; each month begins at the same block and the same second."""

from collections.abc import Callable, Iterator

import pytest

from chains.devnet.scenario.morpho import set_vault_cap
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from tests.router.chain_world import places_of
from tests.router.month.script import UNIT
from tests.router.test_lending_journey import list_venues

PAYEE = checksum("0x" + "77" * 20)
VAULT_CAP = 20_000_000 * UNIT


@pytest.fixture(scope="module")
def places(running: DevnetChain) -> dict[str, str]:
    """An installation whose guard lists MetaMorpho too, which takes whatever anybody brings."""
    at = places_of(running, PAYEE)
    list_venues(running, at["guard_usdc"], {"metamorpho-usdc": running.world.morpho.vault})
    for market in running.world.morpho.markets:
        set_vault_cap(running.anvil.rpc_url, running.world, market, VAULT_CAP)
    return at


@pytest.fixture
def afresh(running: DevnetChain, places: dict[str, str]) -> Iterator[Callable[[], DevnetChain]]:
    """Call it to have the chain as it was, at the time it was."""
    anvil, began = running.anvil, running.anvil.now()
    kept = [anvil.snapshot()]

    def again() -> DevnetChain:
        anvil.revert(kept.pop())
        kept.append(anvil.snapshot())
        anvil.set_time(began + 60)
        anvil.mine(1)
        assert 0 <= anvil.now() - began <= 120, "the chain is not at its beginning"
        return running

    yield again
    anvil.revert(kept.pop())
    anvil.set_time(began + 60)
    anvil.mine(1)

"""One Anvil a session, rewound to the same snapshot for every test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chains.devnet.anvil import Anvil
from chains.devnet.world import World, start_chain
from custody.core.db import Database
from tests.fixtures.town import Town, build

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "world"


@pytest.fixture(scope="session")
def chain() -> Iterator[tuple[Anvil, World]]:
    anvil, world = start_chain(CACHE, 31337)
    anvil.mine(5)
    yield anvil, world
    anvil.stop()


@pytest.fixture
async def town(chain: tuple[Anvil, World], database: Database) -> AsyncIterator[Town]:
    anvil, world = chain
    snapshot = anvil.snapshot()
    built = await build(database, anvil, world)
    yield built
    await built.client.close()
    anvil.revert(snapshot)

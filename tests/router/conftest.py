"""The world of the router's tests, with the fake venues in place of the chain's."""

import pytest

from custody.core.db import Database
from router import accrual, plan, rebalance
from tests.router.world import World


@pytest.fixture
async def world(database: Database, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(database)
    for module in (plan, rebalance, accrual):
        monkeypatch.setattr(module, "adapter", made.adapter)
    await made.set_up()
    return made

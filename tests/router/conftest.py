"""The world of the router's tests, with the fake venues in place of the chain's."""

import pytest

from custody.core.db import Database
from router import accrual, flags, live_guard, reading
from tests.fixtures.devnet import chain, running
from tests.router.world import World

__all__ = ["chain", "running", "world"]


@pytest.fixture
async def world(database: Database, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(database)
    for module in (reading, live_guard, flags, accrual):
        monkeypatch.setattr(module, "adapter", made.adapter)
    monkeypatch.setattr(live_guard, "guard_objections", made.guard_objections)
    await made.set_up()
    return made

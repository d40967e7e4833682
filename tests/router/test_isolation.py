"""One pool or leg that raises stops no other, whatever it raises."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from custody.core.errors import Broken
from custody.core.ids import PoolId, new_uuid7
from router import accrual, books, exchange, funding, rebalance, recall
from router.books import Pool
from tests.router.test_rebalance import funded, leg_rows
from tests.router.world import World

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("module", "inner"),
    [
        (funding, "_fund_pool"),
        (recall, "_release_due"),
        (recall, "_recall"),
        (rebalance, "_start_legs"),
        (rebalance, "_close_plans"),
        (rebalance, "_plan"),
        (accrual, "accrue"),
    ],
)
async def test_pool_that_raises_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, module: ModuleType, inner: str
) -> None:
    async with world.db.read() as s:
        sound = await world.pool_row(s)
    broken, seen = replace(sound, id=PoolId(new_uuid7())), []

    async def pools(*_: Any) -> list[Pool]:
        return [broken, sound]

    async def work(_deps: Any, pool: Pool) -> int:
        seen.append(pool.id)
        if pool.id == broken.id:
            raise ZeroDivisionError
        return 1

    monkeypatch.setattr(books, "pools", pools)
    monkeypatch.setattr(module, inner, work)
    assert await module.step(world.deps) >= 1
    assert seen == [broken.id, sound.id]


async def test_funding_of_a_pool_whose_books_are_broken_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.customer("ann", 10)
    await world.join(ann, 10)

    async def broken(*_: Any, **__: Any) -> int:
        raise Broken("no such account")

    with monkeypatch.context() as patch:
        patch.setattr(books, "available", broken)
        assert await funding.step(world.deps) == 0
    assert await funding.step(world.deps) == 1


async def test_venue_that_is_not_understood_stops_no_other_leg(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(world)
    await rebalance.step(world.deps)

    async def malformed(_block: Any) -> Any:
        raise KeyError("totalAmount")

    monkeypatch.setattr(world.venues["exchange-usdc"], "read", malformed)
    await rebalance.step(world.deps)
    found = {row.venue_id: row.state for row in await leg_rows(world)}
    assert found == {
        "aave-usdc": "executing",
        "vault-usdc": "executing",
        "exchange-usdc": "cancelled",
    }


async def test_exchange_leg_that_raises_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    await world.mine()

    async def malformed(*_: Any) -> Any:
        raise ValueError("not a number")

    monkeypatch.setattr(world.earn, "deposits", malformed)
    assert await exchange.step(world.deps) == 0
    assert "released" in {row.state for row in await leg_rows(world)}

"""Treasury to guard: oldest first, as far as the money goes, gas counted for a native coin."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from chains.registry import AssetInfo, Registry
from custody.core.ids import CustomerId, TransferId, new_uuid7
from custody.core.intents import IntentKind
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from router import funding, orders
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.world import ASSET, CHAIN, World

pytestmark = pytest.mark.postgres


class Native(Registry):
    """The same assets, as if each were its chain's own coin."""

    def asset(self, asset_id: str) -> AssetInfo:
        return cast(AssetInfo, SimpleNamespace(address=None, decimals=18))


async def joined(world: World, name: str, amount: int) -> CustomerId:
    made = await world.customer(name, amount)
    await world.join(made, amount)
    return made


async def amounts(world: World) -> list[int]:
    return [intent.amount for _, intent in await world.intents()]


async def hold_in_treasury(world: World, amount: int) -> None:
    """As a fill of the payout wallet does."""
    async with world.db.write() as s:
        treasury = await accounts.by_code(s, world.tenant, chart.treasury(CHAIN), ASSET)
        away = await accounts.in_flight(s, world.tenant, CHAIN, ASSET)
        id_, now = TransferId(new_uuid7()), world.clock.now()
        held = Transfer(
            id_, world.tenant, away, treasury, amount, "fill", kind="pending", event_at=now
        )
        await post_or_raise(s, [held])


async def test_oldest_joins_go_as_far_as_the_treasury_reaches(world: World) -> None:
    await joined(world, "ann", 100 * UNIT)
    await joined(world, "bob", 100 * UNIT)
    await hold_in_treasury(world, 1)
    assert await funding.step(world.deps) == 1
    assert await amounts(world) == [100 * UNIT]
    assert await funding.step(world.deps) == 0
    await world.mine()
    await world.customer("cid", 1)
    assert await funding.step(world.deps) == 1
    await world.mine()
    assert (await world.view()).idle == 200 * UNIT
    await assert_sound(world)


async def test_large_join_that_does_not_fit_is_not_overtaken(world: World) -> None:
    await joined(world, "ann", 100 * UNIT)
    await joined(world, "bob", 10 * UNIT)
    await hold_in_treasury(world, 50 * UNIT)
    assert await funding.step(world.deps) == 0
    assert await amounts(world) == []


async def test_native_coin_leaves_the_treasury_its_gas(world: World) -> None:
    native = Native({CHAIN: world.registry.chain(CHAIN)}, world.registry.assets)
    world.deps = replace(world.deps, registry=native)
    ether = 10**18
    await joined(world, "ann", ether)
    assert await funding.step(world.deps) == 0
    fee = orders.fee_max_wei(IntentKind.POOL_FUND)
    await world.customer("bob", fee - 1)
    assert await funding.step(world.deps) == 0
    await world.customer("cid", 1)
    assert await funding.step(world.deps) == 1
    [(_, intent)] = await world.intents()
    assert (intent.value, intent.fee_max_wei) == (ether, fee)

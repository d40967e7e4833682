"""Yield, spread and losses: the share price, idempotence, and sums that match to the unit."""

from typing import Any

import pytest

from custody.ledger.prices import latest_price
from router import accrual, exchange, funding, legs, rebalance
from router.curves import RAY
from router.moves import Action
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, run
from tests.router.world import World

pytestmark = pytest.mark.postgres

DAY = 86_400


def grow(world: World, seconds: int) -> None:
    for name in ("aave-usdc", "vault-usdc"):
        world.venues[name].earn(seconds)
    world.advance(seconds, 3)


async def test_yield_moves_the_price_once_a_block(world: World) -> None:
    await funded(world)
    await run(world)
    assert await accrual.step(world.deps) == 1
    before = await world.view()
    grow(world, 30 * DAY)
    assert await accrual.step(world.deps) == 1
    assert await accrual.step(world.deps) == 0
    after = await world.view()
    gained = sum(v.position for n, v in world.venues.items() if n != "exchange-usdc")
    gained -= before.venues["aave-usdc"] + before.venues["vault-usdc"]
    assert after.spread == gained // 10
    assert after.totals.assets - before.totals.assets == gained - after.spread
    assert after.price_ray > before.price_ray
    async with world.db.read() as s:
        price = await latest_price(s, world.tenant, world.pool_id)
    assert price is not None
    assert price.price_ray == after.price_ray
    await assert_sound(world)


async def test_loss_lowers_the_price_and_is_made_good_before_any_spread(world: World) -> None:
    await funded(world)
    await run(world)
    await accrual.step(world.deps)
    world.venues["aave-usdc"].position -= 50_000 * UNIT
    world.advance(60, 3)
    await accrual.step(world.deps)
    low = await world.view()
    assert low.totals.assets == 950_000 * UNIT
    assert low.spread == 0
    world.venues["aave-usdc"].position += 50_000 * UNIT
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).spread == 0
    await assert_sound(world)


async def test_late_joiner_gets_no_part_of_earlier_yield(world: World) -> None:
    await funded(world)
    await run(world)
    grow(world, 30 * DAY)
    await accrual.step(world.deps)
    bob = await world.customer("bob", 777 * UNIT)
    await world.join(bob, 777 * UNIT)
    v = await world.view()
    part = next(h for h in v.holdings if h.customer_id == bob)
    assert 777 * UNIT - 1 <= part.value <= 777 * UNIT
    await assert_sound(world)


async def test_a_venue_with_a_leg_under_way_is_passed_over(world: World) -> None:
    await funded(world)
    await run(world)
    await accrual.step(world.deps)
    await funded_more(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    world.venues["aave-usdc"].position += 5  # mined, not final: the books don't have it yet
    world.advance(60, 3)
    await accrual.step(world.deps)
    v = await world.view()
    assert v.totals.assets == 1_500_000 * UNIT
    await assert_sound(world)


async def funded_more(world: World) -> None:
    bob = await world.customer("bob", 500_000 * UNIT)
    await world.join(bob, 500_000 * UNIT)
    await funding.step(world.deps)
    await world.mine()
    world.advance(20, 3)


async def test_exchange_rewards_count_in_spot_and_in_position(world: World) -> None:
    await funded(world)
    await run(world)
    await accrual.step(world.deps)
    world.earn.subscribed += 1_000 * UNIT
    world.earn.free += 500 * UNIT
    world.advance(60, 3)
    await exchange.step(world.deps)
    await accrual.step(world.deps)
    v = await world.view()
    assert v.totals.assets == 1_000_000 * UNIT + 1_350 * UNIT
    assert v.spread == 150 * UNIT
    assert v.price_ray <= v.totals.assets * RAY // v.totals.shares
    await assert_sound(world)


async def test_exchange_whose_legs_moved_while_it_was_read_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value is of before the move, or of after it: only the books know, and later."""
    await funded(world)
    await run(world)
    await accrual.step(world.deps)

    async def value(_block: Any) -> int:
        async with world.db.write() as s:
            item = await world.pool_row(s)
            id_ = await legs.add(
                s, item, None, "exchange-usdc", Action.EXIT, UNIT, at=world.clock.now()
            )
            await s.execute("UPDATE legs SET state = 'done' WHERE id = :id", {"id": id_})
        return 1

    monkeypatch.setattr(world.venues["exchange-usdc"], "value", value)
    world.advance(60, 3)
    assert await accrual.step(world.deps) == 1
    assert (await world.view()).totals.assets == 1_000_000 * UNIT

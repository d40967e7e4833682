"""An exchange that refuses, charges, is slow, or fails: legs end, and no unit is lost in books."""

from typing import Any

import pytest

from chains.types import BlockRef
from router import exchange, legs
from router.legs import Leg
from router.moves import Action
from router.venues.exchange import ExchangeVenue
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import balance, holder, leave, settle
from tests.router.world import World

pytestmark = pytest.mark.postgres

PLACED = 200_000 * UNIT


async def age(world: World, seconds: int) -> None:
    """Let the database's time pass for every leg."""
    async with world.db.write() as s:
        await s.execute(
            "UPDATE legs SET updated_at = updated_at - make_interval(secs => :s)", {"s": seconds}
        )


async def exiting(world: World, amount: int) -> Any:
    async with world.db.write() as s:
        item = await world.pool_row(s)
        return await legs.add(
            s, item, None, "exchange-usdc", Action.EXIT, amount, at=world.clock.now()
        )


async def leg_of(world: World, id_: Any) -> Leg:
    async with world.db.read() as s:
        return await legs.get(s, id_)


async def steps(world: World, count: int) -> None:
    for _ in range(count):
        world.advance(2, 2)
        await exchange.step(world.deps)


async def test_refused_subscription_ends_the_leg_and_its_money_can_leave(world: World) -> None:
    await funded(world)
    world.earn.refuses = {"subscribe"}
    await run(world)
    assert (world.earn.free, world.earn.subscribed) == (PLACED, 0)
    async with world.db.read() as s:
        rows = await s.all("SELECT state, reason FROM legs WHERE venue_id = 'exchange-usdc'")
    assert [r.state for r in rows] == ["done"]
    assert "sold out" in rows[0].reason
    await assert_sound(world)
    ann = await holder(world)
    await leave(world, ann, (await world.view()).totals.shares)
    await settle(world, 20)
    assert await balance(world, ann) == 1_000_000 * UNIT
    assert "redeem" not in world.earn.calls
    await assert_sound(world)


async def test_withdrawable_is_what_is_subscribed_and_spot(world: World) -> None:
    world.earn.subscribed, world.earn.free = 7, 5
    venue = ExchangeVenue(world.earn, "USDC", "USDC001", 6)
    assert (await venue.read(BlockRef(1, "0x1", 1))).withdrawable == 12


async def test_only_what_spot_lacks_is_redeemed(world: World) -> None:
    await funded(world)
    await run(world)
    world.earn.subscribed, world.earn.free = 150_000 * UNIT, 50_000 * UNIT
    id_ = await exiting(world, 80_000 * UNIT)
    await steps(world, 10)
    assert (await leg_of(world, id_)).state == "done"
    assert (world.earn.subscribed, world.earn.free) == (120_000 * UNIT, 0)
    await assert_sound(world)


async def test_redemption_that_shows_late_in_spot_is_not_asked_twice(world: World) -> None:
    await funded(world)
    await run(world)
    world.earn.slow = True
    id_ = await exiting(world, 80_000 * UNIT)
    await steps(world, 5)
    assert world.earn.calls.count("redeem") == 1
    world.earn.free, world.earn.late = world.earn.late, 0
    await steps(world, 10)
    assert (await leg_of(world, id_)).state == "done"
    assert world.earn.calls.count("redeem") == 1
    await assert_sound(world)


async def test_fee_comes_out_of_what_leaves(world: World) -> None:
    """Everything goes, the fee too: nothing is refused for want of it."""
    await funded(world)
    await run(world)
    world.earn.fee = 5 * UNIT
    ann = await holder(world)
    await leave(world, ann, (await world.view()).totals.shares)
    await settle(world, 20)
    assert await balance(world, ann) == 999_995 * UNIT
    assert (world.earn.subscribed, world.earn.free) == (0, 0)
    await assert_sound(world)


async def test_exit_smaller_than_the_fee_ends(world: World) -> None:
    await funded(world)
    await run(world)
    world.earn.fee = 5 * UNIT
    id_ = await exiting(world, 5 * UNIT)
    await steps(world, 6)
    leg = await leg_of(world, id_)
    assert (leg.state, leg.reason) == ("failed", "the fee is as large as the exit")
    await assert_sound(world)


async def test_failed_withdrawal_is_asked_again_under_another_id(world: World) -> None:
    await funded(world)
    await run(world)
    id_ = await exiting(world, PLACED)
    await steps(world, 4)
    assert (await leg_of(world, id_)).state == "withdrawing"
    world.earn.fail_order(id_.hex)
    await steps(world, 5)
    leg = await leg_of(world, id_)
    assert (leg.state, leg.order_id, leg.attempt) == ("redeemed", f"{id_.hex}x1", 1)
    await age(world, 60)
    await steps(world, 1)
    world.earn.fail_order(f"{id_.hex}x1")
    await steps(world, 1)
    assert (await leg_of(world, id_)).order_id == f"{id_.hex}x2"
    await age(world, 60)
    await steps(world, 2)
    assert world.earn.calls.count("withdraw") == 2, "the second pause is twice as long"
    await age(world, 60)
    await steps(world, 10)
    assert (await leg_of(world, id_)).state == "done"
    await assert_sound(world)


async def test_arrival_follows_the_exchange_to_another_transaction(world: World) -> None:
    await funded(world)
    await run(world)
    id_ = await exiting(world, PLACED)
    await steps(world, 4)
    [order] = world.earn.orders
    real = world.earn.orders[order]
    lost = type(real)(order, real.amount, 0, "0x" + "ee" * 32, False)
    world.earn.orders[order] = lost
    await steps(world, 2)
    leg = await leg_of(world, id_)
    assert (leg.state, leg.tx_hash) == ("arriving", lost.tx_hash)
    world.earn.orders[order] = real
    await steps(world, 3)
    assert (await leg_of(world, id_)).state == "done"
    await assert_sound(world)


async def test_rewards_that_no_accrual_has_seen_leave_with_the_rest(world: World) -> None:
    """More leaves than the books have there: the surplus is the holders', and nothing is stuck."""
    await funded(world)
    await run(world)
    world.earn.subscribed += 50 * UNIT
    id_ = await exiting(world, PLACED + 50 * UNIT)
    await steps(world, 10)
    assert (await leg_of(world, id_)).state == "done"
    v = await world.view()
    assert v.venues["exchange-usdc"] == 0
    assert v.totals.assets == 1_000_050 * UNIT
    await assert_sound(world)

"""An exit within its notice is paid in time, and its money earns until it has to come home."""

import pytest

from router import accrual, outflows, owed, recall
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_products import change, leave
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import balance, holder
from tests.router.world import World

pytestmark = pytest.mark.postgres

HOUR, DAY = 3_600, 86_400
K = 1_000 * UNIT


async def reserved(world: World) -> int:
    async with world.db.read() as s:
        return await owed.reserved(s, await world.pool_row(s), world.clock.now()) // K


async def begun(world: World, **exits_s: int | None) -> World:
    """A million over three venues that say how long they take, under a notice of three days."""
    await change(world, notice_s=3 * DAY)
    for name, venue in world.venues.items():
        venue.exit_s = exits_s.get(name.split("-")[0], 0)
    await funded(world)
    await run(world)
    assert (await world.view()).idle == 100 * K
    return world


async def pass_(world: World, seconds: int) -> None:
    """Time passes, and all the jobs look at it."""
    world.advance(seconds, 2)
    await accrual.step(world.deps)
    await recall.step(world.deps)
    await run(world, 6)


@pytest.mark.parametrize(
    ("exits_s", "lead_s"),
    [({}, 6 * HOUR), ({"aave": DAY}, 30 * HOUR)],
)
async def test_money_stays_until_the_slowest_venue_has_to_be_asked(
    world: World, exits_s: dict[str, int | None], lead_s: int
) -> None:
    await begun(world, **exits_s)
    ann = await holder(world)
    await leave(world, ann, (await world.view()).totals.shares // 2)
    before = (await world.view()).venues
    await pass_(world, 3 * DAY - lead_s - HOUR)
    assert await reserved(world) == 0
    after = (await world.view()).venues
    assert all(abs(after[v] - before[v]) < UNIT for v in before), "nothing has left"
    await pass_(world, HOUR)
    assert await reserved(world) == 500
    await pass_(world, 10)
    assert (await world.view()).idle >= 500 * K, "home before it is due"
    assert await balance(world, ann) == 0
    await pass_(world, lead_s)
    assert await balance(world, ann) == 500 * K
    await assert_sound(world)


async def test_a_venue_that_does_not_say_how_long_it_takes_is_asked_at_once(world: World) -> None:
    await begun(world, exchange=None)
    await leave(world, await holder(world), (await world.view()).totals.shares // 2)
    assert await reserved(world) == 500
    await pass_(world, 10)
    assert (await world.view()).idle >= 500 * K
    await assert_sound(world)


async def test_without_a_notice_nothing_is_put_off(world: World) -> None:
    for venue in world.venues.values():
        venue.exit_s = 10 * DAY
    await funded(world)
    await run(world)
    await leave(world, await holder(world), (await world.view()).totals.shares // 2)
    assert await reserved(world) == 500


async def test_a_horizon_counts_what_falls_due_within_it(world: World) -> None:
    """Not reserved yet, but an outflow that is known: a ladder keeps it in reach."""
    await begun(world)
    await leave(world, await holder(world), (await world.view()).totals.shares // 2)
    async with world.db.snapshot() as s:
        item, now = await world.pool_row(s), world.clock.now()
        known = [await outflows.known(s, item, now, days) for days in (1, 2, 3, 7)]
    assert [k.redemptions // K for k in known] == [0, 0, 500, 500]

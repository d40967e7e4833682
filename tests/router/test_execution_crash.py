"""Property 9 for execution: an order to leave, exits in parts and flags, dead around any commit."""

import random
from dataclasses import replace
from typing import cast

import pytest

from custody.core.db import Database
from router import accrual, departures, exchange, flags, funding, rebalance, recall
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_crash import Died, DyingDatabase
from tests.router.test_venue_exits import AAVE, exits_of
from tests.router.world import World

pytestmark = pytest.mark.postgres

AMOUNT = 1_000_000 * UNIT
JOBS = (funding, departures, rebalance, exchange, flags, accrual, recall)


async def rounds(world: World, count: int) -> None:
    for _ in range(count):
        world.advance(20, 2)
        for job in JOBS:
            try:
                await job.step(world.deps)
            except Died:
                break  # the process is gone; the next round is a new one
        await world.mine()


async def order(world: World) -> None:
    try:
        async with world.deps.db.write() as s:
            await departures.order(
                s, world.tenant, world.pool_id, AAVE, by="per_a", reason="a drill",
                at=world.clock.now(),
            )  # fmt: skip
    except Died:
        await order(world)  # whoever got no answer asks again


async def story(world: World, point: int, after: bool) -> int:
    """In and routed; Aave drained to a third, left by order in parts; how many commits it took."""
    ann = await world.customer("ann", AMOUNT)
    await world.join(ann, AMOUNT)
    dying = DyingDatabase(world.db, point, after)
    world.deps = replace(world.deps, db=cast(Database, dying))
    await rounds(world, 8)
    aave = world.venues[AAVE]
    before = aave.position
    aave.liquidity = aave.withdrawable = before // 3
    await order(world)
    await rounds(world, 3)
    assert aave.position == before - before // 3
    world.advance(7 * 3_600, 2)
    await rounds(world, 3)
    aave.liquidity = aave.withdrawable = None
    world.advance(3_600, 2)
    await rounds(world, 7)
    assert aave.position == 0
    assert (await world.view()).venues[AAVE] == 0
    done = [leg for leg in await exits_of(world) if leg.state == "done"]
    assert sum(leg.received or 0 for leg in done) == before
    async with world.db.read() as s:
        flagged = await s.all("SELECT state FROM venue_flags WHERE venue_id = :v", {"v": AAVE})
        ordered = await s.scalar("SELECT count(*) FROM venue_departures")
        told = await s.scalar("SELECT count(*) FROM audit_entries WHERE kind = 'pool.flagged'")
    assert ([row.state for row in flagged], ordered) == (["cleared"], 1)
    assert told <= 1, "told twice; not at all if it dies in the last step before it can leave again"
    await assert_sound(world)
    return dying.count


@pytest.mark.parametrize("seed", range(1))
async def test_story_ends_the_same_wherever_a_job_dies(world: World, seed: int) -> None:
    rng = random.Random(seed)
    await story(world, rng.randint(1, 90), rng.random() < 0.5)


@pytest.mark.deep
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, 120))
async def test_story_ends_the_same_at_every_point(world: World, point: int, after: bool) -> None:
    await story(world, point, after)

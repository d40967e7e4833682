"""Property 9 for the router: a job that dies around any of its commits, then runs again.

The point is a count of the router's commits; at it the process dies just before the commit (all of
it is lost) or just after (all of it stands, the job's memory is gone).
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from custody.core.db import Database, WriteSession
from router import accrual, exchange, funding, pool, rebalance, recall
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_recall import balance
from tests.router.world import World

pytestmark = pytest.mark.postgres

AMOUNT = 1_000_000 * UNIT


class Died(Exception):
    pass


class DyingDatabase:
    """The real database, whose `point`-th commit the process does not survive."""

    def __init__(self, real: Database, point: int, after: bool) -> None:
        self.real, self.point, self.after, self.count = real, point, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        self.count += 1
        dies = self.count == self.point
        async with self.real.write() as s:
            yield s
            if dies and not self.after:
                raise Died
        if dies:
            raise Died


async def jobs(world: World, rounds: int) -> None:
    for _ in range(rounds):
        world.advance(4, 2)
        for job in (funding, rebalance, exchange, accrual, recall):
            try:
                await job.step(world.deps)
            except Died:
                break  # the process is gone; the next round is a new one
        await world.mine()


async def story(world: World, point: int, after: bool) -> int:
    """In, routed, everything out again; the number of commits it took."""
    ann = await world.customer("ann", AMOUNT)
    await world.join(ann, AMOUNT)
    dying = DyingDatabase(world.db, point, after)
    world.deps = replace(world.deps, db=cast(Database, dying))
    await jobs(world, 12)
    v = await world.view()
    assert v.venues["exchange-usdc"] == world.earn.subscribed == AMOUNT // 5
    assert v.idle == world.idle == AMOUNT // 10
    async with world.db.write() as s:
        await pool.leave(s, world.tenant, world.pool_id, ann, v.totals.shares, at=world.clock.now())
    await jobs(world, 24)
    assert await balance(world, ann) == AMOUNT
    assert (world.treasury, world.idle) == (AMOUNT, 0)
    assert (world.earn.free, world.earn.subscribed) == (0, 0)
    assert world.earn.calls == ["subscribe", "redeem", "withdraw"]
    await assert_sound(world)
    return dying.count


@pytest.mark.parametrize("seed", range(4))
async def test_story_ends_the_same_wherever_a_job_dies(world: World, seed: int) -> None:
    rng = random.Random(seed)
    await story(world, rng.randint(1, 70), rng.random() < 0.5)


@pytest.mark.deep
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, 90))
async def test_story_ends_the_same_at_every_point(world: World, point: int, after: bool) -> None:
    await story(world, point, after)

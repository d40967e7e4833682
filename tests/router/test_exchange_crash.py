"""Property 9 for legs at exchanges, over each real client and its simulator's wire format.

A point is a commit of the exchange job or a call to the exchange: the process dies just before it
or just after. It is found by counting, so that a new step is killed without being listed here.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from custody.core.db import Database, WriteSession
from router import (
    accrual,
    exchange,
    flags,
    funding,
    legs,
    live_guard,
    pool,
    reading,
    rebalance,
    recall,
)
from router.venues.cefi.port import Earn
from tests.router.books_check import assert_sound
from tests.router.exchange_world import VENUE, ExchangeWorld
from tests.router.pool_world import UNIT
from tests.router.test_recall import balance

pytestmark = pytest.mark.postgres

AMOUNT = 1_000_000 * UNIT
PLACED = AMOUNT // 5
POINTS = 36
"""More than a story has."""
ORDERS = {
    "binance": ("subscribe", "redeem", "apply"),
    "kraken": ("Allocate", "Deallocate", "Withdraw"),
}
KINDS = pytest.mark.parametrize("kind", list(ORDERS))


class Died(BaseException):
    """No handler of ours may survive it."""


@dataclass
class Death:
    """Counts points; at the `point`-th the process dies, before it or after."""

    point: int
    after: bool
    count: int = 0
    names: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[None]:
        self.count += 1
        self.names.append(name)
        here = self.count == self.point
        if here and not self.after:
            raise Died
        yield
        if here:
            raise Died


class DyingDatabase:
    def __init__(self, real: Database, death: Death) -> None:
        self.real, self.death = real, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Before the commit everything of it is lost; after it the job's memory is."""
        self.death.count += 1
        self.death.names.append("commit")
        here = self.death.count == self.death.point
        async with self.real.write() as s:
            yield s
            if here and not self.death.after:
                raise Died
        if here:
            raise Died


class DyingEarn:
    def __init__(self, real: Earn, death: Death) -> None:
        self.real, self.death = real, death

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not callable(found):
            return found

        async def call(*arguments: Any) -> Any:
            async with self.death.at(name):
                return await found(*arguments)

        return call


async def jobs(world: ExchangeWorld, rounds: int, death: Death, age_s: int = 700) -> None:
    """Rounds of all jobs, ten minutes apart for the legs; only the exchange's may die."""
    earn = cast(Earn, DyingEarn(world.client_of_exchange, death))
    dying = replace(
        world.deps,
        db=cast(Database, DyingDatabase(world.db, death)),
        exchanges={"simulated": earn},
    )
    for _ in range(rounds):
        world.advance(4, 2)
        for job in (funding, rebalance, accrual, recall):
            await job.step(world.deps)
        with suppress(Died):  # the process is gone; the next round is a new one
            await exchange.step(dying)
        await world.mine()
        await world.age(age_s)
        await assert_covered(world)


async def assert_covered(world: ExchangeWorld) -> None:
    """At every moment: guard, venues and what flies are all there is, in books and in fact."""
    v = await world.view()
    fakes = sum(venue.position for id_, venue in world.venues.items() if id_ != VENUE)
    real = world.treasury + world.idle + world.at_exchange + fakes
    assert real == AMOUNT + world.extra, (world.treasury, world.idle, world.at_exchange, fakes)
    assert v.totals.assets + v.spread <= AMOUNT + world.extra


async def settled(world: ExchangeWorld) -> bool:
    """No leg is on its way at any venue."""
    async with world.db.read() as s:
        return not await legs.unfinished(s, world.pool_id)


async def enter(world: ExchangeWorld, death: Death) -> Any:
    ann = await world.customer("ann", AMOUNT)
    await world.join(ann, AMOUNT)
    for _ in range(14):
        await jobs(world, 1, death)
        if world.subscribed == PLACED and await settled(world):
            return ann
    raise AssertionError(f"not entered: {death.names}")


async def leave(world: ExchangeWorld, ann: Any) -> None:
    shares = (await world.view()).totals.shares
    async with world.db.write() as s:
        await pool.leave(s, world.tenant, world.pool_id, ann, shares, at=world.clock.now())


async def story(world: ExchangeWorld, death: Death, orders: tuple[int, int, int]) -> None:
    """In, subscribed, all out again; `orders` is how many of each the exchange may have taken."""
    ann = await enter(world, death)
    assert world.subscribed == PLACED
    assert (await world.view()).venues[VENUE] == PLACED
    await leave(world, ann)
    for _ in range(26):
        await jobs(world, 1, death)
        if await balance(world, ann) == AMOUNT:
            break
    await jobs(world, 2, death)
    assert await balance(world, ann) == AMOUNT
    assert (world.treasury, world.idle, world.at_exchange) == (AMOUNT, 0, 0)
    assert tuple(world.taken[name] for name in ORDERS[world.kind]) == orders
    assert len(world.book.withdrawals) == 1
    await assert_sound(world)


NEVER = (0, False)


@pytest.fixture
async def made(
    kind: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ExchangeWorld]:
    world = ExchangeWorld(database, kind)
    for module in (reading, live_guard, flags, accrual):
        monkeypatch.setattr(module, "adapter", world.adapter)
    monkeypatch.setattr(live_guard, "guard_objections", world.guard_objections)
    await world.set_up()
    async with world.connected():
        yield world


@KINDS
async def test_story_without_a_death_counts_its_points(made: ExchangeWorld) -> None:
    death = Death(*NEVER)
    await story(made, death, (1, 1, 1))
    assert 20 < death.count < POINTS, death.names
    assert {"commit", "subscribe", "redeem", "withdraw", "withdrawal"} <= set(death.names)


@KINDS
@pytest.mark.parametrize("seed", range(1))
async def test_story_ends_the_same_wherever_the_job_dies(made: ExchangeWorld, seed: int) -> None:
    rng = random.Random(seed)
    await story(made, Death(rng.randint(1, 30), rng.random() < 0.5), (1, 1, 1))


@pytest.mark.deep
@KINDS
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, POINTS))
async def test_story_ends_the_same_at_every_point(
    made: ExchangeWorld, point: int, after: bool
) -> None:
    await story(made, Death(point, after), (1, 1, 1))


@KINDS
@pytest.mark.parametrize("which", range(3), ids=["subscribe", "redeem", "withdraw"])
@pytest.mark.parametrize("fault", ["lose", pytest.param("fail", marks=pytest.mark.deep)])
async def test_lost_answer_and_server_error_make_no_second_order(
    made: ExchangeWorld, which: int, fault: str
) -> None:
    getattr(made.faults, fault)[ORDERS[made.kind][which]] = 1
    await story(made, Death(*NEVER), (1, 1, 1))


@KINDS
async def test_unknown_withdrawal_is_not_asked_again_at_once(made: ExchangeWorld) -> None:
    """Kraken's carries no id of ours: it waits until an order would long be listed."""
    never = Death(*NEVER)
    ann = await enter(made, never)
    await leave(made, ann)
    made.faults.fail[ORDERS[made.kind][2]] = 1
    await jobs(made, 26, never, age_s=0)
    assert len(made.book.withdrawals) == (1 if made.kind == "binance" else 0)
    await jobs(made, 8, never)
    assert len(made.book.withdrawals) == 1
    assert await balance(made, ann) == AMOUNT


@KINDS
async def test_partial_fills_are_asked_for_until_all_is_filled(made: ExchangeWorld) -> None:
    made.faults.part, made.faults.parts = (3, 5), 1
    never = Death(*NEVER)
    ann = await enter(made, never)
    assert made.subscribed == PLACED
    made.faults.parts = 1
    await leave(made, ann)
    await jobs(made, 30, never)
    assert await balance(made, ann) == AMOUNT
    assert tuple(made.taken[name] for name in ORDERS[made.kind]) == (2, 2, 1)
    await assert_sound(made)


@pytest.mark.parametrize("kind", ["kraken"])
@pytest.mark.parametrize("age_s", [100, 700])
async def test_withdrawal_that_is_listed_late_is_not_made_twice(
    made: ExchangeWorld, age_s: int
) -> None:
    """Its answer is lost, and the balance has enough for a second one.

    Listed within ten minutes it is found. Listed later still, the balance tells: an order that
    was taken has left it.
    """
    never = Death(*NEVER)
    ann = await enter(made, never)
    made.faults.lose["Withdraw"], made.faults.hidden = 1, 4 if age_s < 600 else 12
    await leave(made, ann)
    while not await at_state(made, "redeeming"):
        await jobs(made, 1, never, age_s=0)
    if age_s < 600:
        made.book.free["USDC"] += PLACED  # another's, so that the balance tells nothing
        made.extra = PLACED
    await jobs(made, 26, never, age_s=age_s)
    assert made.faults.hidden == 0
    assert [w.amount for w in made.book.withdrawals].count(PLACED) == 1
    assert made.treasury >= AMOUNT


async def at_state(world: ExchangeWorld, state: str) -> bool:
    async with world.db.read() as s:
        found = await s.scalar(
            "SELECT EXISTS (SELECT FROM legs WHERE venue_id = :venue AND state = :state)",
            {"venue": VENUE, "state": state},
        )
    return bool(found)

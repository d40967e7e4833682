"""A short pool pays by the law of its queue: in parts, in turn, with losses shared by all."""

import random
from dataclasses import replace
from typing import Any, cast

import pytest

from custody.core.db import Database
from custody.core.ids import CustomerId
from custody.ledger import chart
from router import accrual, exits, funding, pool, recall
from router.exits import Waiting
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_crash import Died, DyingDatabase
from tests.router.test_products import change, entries, income, leave
from tests.router.test_rebalance import run
from tests.router.test_recall import balance, settle, states, withdrawal
from tests.router.world import World

pytestmark = pytest.mark.postgres

SHARES = 10**6  # share units for a base unit at the first price
K = 1_000 * UNIT
HOUR, DAY = 3_600, 86_400


async def short_pool(world: World) -> tuple[CustomerId, CustomerId]:
    """Ann has 600k, bob 400k; 100k of it is idle, and no venue gives anything back."""
    ann, bob = await world.customer("ann", 600 * K), await world.customer("bob", 400 * K)
    await world.join(ann, 600 * K)
    await world.join(bob, 400 * K)
    await funding.step(world.deps)
    await world.mine()
    world.advance(1, 3)
    await run(world)
    await accrual.step(world.deps)
    liquidity(world, 0)
    assert (await world.view()).idle == 100 * K
    return ann, bob


def liquidity(world: World, amount: int | None) -> None:
    for venue in world.venues.values():
        venue.withdrawable = amount


async def queue(world: World) -> list[Waiting]:
    async with world.db.snapshot() as s:
        return await exits.waiting(s, world.tenant, world.pool_id, world.clock.now())


async def pay(world: World, seconds: int = 0) -> None:
    world.advance(seconds, 2)
    await accrual.step(world.deps)
    await recall.step(world.deps)
    await world.mine()


async def test_one_day_is_paid_in_parts_and_the_next_waits_for_it(world: World) -> None:
    ann, bob = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    await leave(world, bob, 100 * K * SHARES)
    await pay(world)
    assert (await balance(world, ann), await balance(world, bob)) == (0, 0), "a recall may come yet"
    assert [w.set_aside for w in await queue(world)] == [80 * K, 20 * K]
    await pay(world, HOUR)
    assert (await balance(world, ann), await balance(world, bob)) == (80 * K, 20 * K)
    first, second = await queue(world)
    assert (first.paid, first.amount, first.shares) == (80 * K, 320 * K, 320 * K * SHARES)
    assert (second.paid, second.amount, second.position) == (20 * K, 80 * K, 2)
    world.advance(DAY)
    await leave(world, bob, 10 * K * SHARES)
    [*_, late] = await queue(world)
    assert (late.position, late.before, late.together) == (3, 400 * K, 10 * K)
    await assert_sound(world)
    liquidity(world, None)
    await settle(world)
    assert (await balance(world, ann), await balance(world, bob)) == (400 * K, 110 * K)
    assert await queue(world) == []
    left = await entries(world, "pool.left")
    assert sum(int(e["amount"]) for e in left) == 510 * K
    assert sum(int(e["shares"]) for e in left) == 510 * K * SHARES
    assert [e["left_shares"] for e in left][:2] == [str(320 * K * SHARES), str(80 * K * SHARES)]
    await assert_sound(world)


async def test_a_later_day_is_not_paid_from_money_that_an_earlier_lacks(world: World) -> None:
    ann, bob = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    world.advance(DAY)
    await leave(world, bob, K * SHARES)
    await pay(world, HOUR)
    assert (await balance(world, ann), await balance(world, bob)) == (100 * K, 0)
    async with world.db.write() as s:  # money comes by a door of its own
        item = await world.pool_row(s)
        await s.execute("UPDATE redemptions SET retry_at = 'infinity' WHERE customer_id = :c",
                        {"c": ann})  # fmt: skip
        assert item.id == world.pool_id
    carl = await world.customer("carl", 50 * K)
    await world.join(carl, 50 * K)
    await funding.step(world.deps)
    await world.mine()
    await pay(world)
    assert await balance(world, bob) == 0, "ann's turn is kept while her release is put off"
    assert [w.set_aside for w in await queue(world)] == [50 * K, 0]
    await assert_sound(world)


async def test_who_waits_bears_losses_like_who_stays(world: World) -> None:
    ann, bob = await short_pool(world)
    await leave(world, ann, 500 * K * SHARES)
    await pay(world, HOUR)
    assert await balance(world, ann) == 100 * K
    world.venues["aave-usdc"].position -= 90 * K  # a tenth of what is left
    await pay(world, 60)
    [waits] = await queue(world)
    assert waits.amount == 360 * K
    async with world.db.snapshot() as s:
        stays = await pool.mine(s, world.tenant, world.pool_id, bob)
    assert stays.value == 360 * K
    liquidity(world, None)
    await settle(world)
    assert await balance(world, ann) == 460 * K
    await assert_sound(world)


async def test_a_loss_after_a_failed_release_fails_nobodys_exit(world: World) -> None:
    """An exit without an amount of its own is tried again at the price of then."""
    ann, _ = await short_pool(world)
    await leave(world, ann, 50 * K * SHARES)
    await recall.step(world.deps)
    await world.mine(fail=True)
    [waits] = await queue(world)
    assert (waits.set_aside, waits.state) == (50 * K, "requested")
    world.venues["aave-usdc"].position -= 100 * K
    async with world.db.write() as s:
        await s.execute("UPDATE redemptions SET retry_at = NULL")
    await pay(world, 60)
    assert await balance(world, ann) == 45 * K
    assert [r.state for r in await states(world)] == ["settled"]
    await assert_sound(world)


async def test_a_withdrawal_gathers_its_money_and_is_paid_once(world: World) -> None:
    ann, bob = await short_pool(world)
    async with world.db.write() as s:
        await withdrawal(world, s, ann, 300 * K)
    await recall.step(world.deps)
    await leave(world, bob, 100 * K * SHARES)
    await pay(world, HOUR)
    assert [w.set_aside for w in await queue(world)] == [100 * K, 0], "who came first was alone"
    assert await world.intents() == []
    liquidity(world, None)
    await settle(world)
    assert [r.state for r in await states(world)] == ["settled", "settled"]
    assert await balance(world, bob) == 100 * K
    await assert_sound(world)


async def test_notice_runs_before_an_exit_has_a_turn(world: World) -> None:
    await change(world, notice_s=2 * DAY)
    ann, bob = await short_pool(world)
    await leave(world, ann, 50 * K * SHARES)
    await pay(world, 2 * DAY - 60)
    assert await balance(world, ann) == 0
    await leave(world, bob, 100 * K * SHARES)
    await pay(world, 60)
    assert (await balance(world, ann), await balance(world, bob)) == (50 * K, 0)


async def test_a_shorter_notice_is_one_for_who_waits_as_well(world: World) -> None:
    await change(world, notice_s=30 * DAY)
    ann, _ = await short_pool(world)
    await leave(world, ann, 50 * K * SHARES)
    await change(world, notice_s=DAY)
    await pay(world, DAY)
    assert await balance(world, ann) == 50 * K


async def test_an_early_exit_pays_the_stated_fee_and_no_unit_more(world: World) -> None:
    await change(world, kind="fixed", maturity="2026-06-01T00:00:00Z", early_fee_bps=100)
    ann, bob = await short_pool(world)
    await leave(world, ann, 50 * K * SHARES + 999_999)
    await leave(world, bob, 200 * K * SHARES)
    await pay(world, HOUR)  # ann's and bob's day has 247.5k to get, and 100k
    liquidity(world, None)
    await settle(world)
    got = await balance(world, ann), await balance(world, bob)
    fees = await income(world, chart.INCOME_FEES)
    assert (got[0] - 49_500 * UNIT, got[1] - 198 * K) in {(0, 0), (1, 0), (0, 1), (1, 1)}
    assert 2_500 * UNIT - 2 <= fees <= 2_500 * UNIT
    v = await world.view()
    assert (v.totals.assets, v.spread) == (1_000 * K - sum(got) - fees, fees)
    await assert_sound(world)


async def test_a_withdrawal_that_the_terms_do_not_let_out_fails_and_says_why(
    world: World,
) -> None:
    await change(world, minimum_stay_s=30 * DAY)
    ann, _ = await short_pool(world)
    async with world.db.write() as s:
        id_ = await withdrawal(world, s, ann, K)
    await recall.step(world.deps)
    assert await queue(world) == []
    async with world.db.read() as reads:
        state = await reads.scalar("SELECT state FROM withdrawals WHERE id = :id", {"id": id_})
    assert state == "failed"
    [entry] = await entries(world, "withdrawal.failed")
    assert "minimum_stay_s" in entry["reason"]
    await assert_sound(world)


async def parts_story(world: World, point: int, after: bool) -> int:
    """Two leave a short pool; the jobs die at one commit. The number of commits it took."""
    ann, bob = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    await leave(world, bob, 100 * K * SHARES)
    real = world.deps
    dying = DyingDatabase(world.db, point, after)
    world.deps = replace(real, db=cast(Database, dying))
    for n in range(30):
        if n == 3:
            liquidity(world, None)
        world.advance(HOUR if n < 3 else 60, 2)
        for job in (accrual.step, recall.step):
            try:
                await job(world.deps)
            except Died:
                break  # the process is gone; the next round is a new one
        await world.mine()
        await _rebalance(world)
    assert (await balance(world, ann), await balance(world, bob)) == (400 * K, 100 * K)
    assert [r.state for r in await states(world)] == ["settled", "settled"]
    assert world.treasury == 500 * K
    await assert_sound(world)
    return dying.count


async def _rebalance(world: World) -> None:
    try:
        await run(world, 1)
    except Died:
        await world.mine()


@pytest.mark.parametrize("seed", range(3))
async def test_parts_are_paid_once_wherever_a_job_dies(world: World, seed: int) -> None:
    """Property 9."""
    rng = random.Random(seed)
    await parts_story(world, rng.randint(1, 40), rng.random() < 0.5)


@pytest.mark.deep
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", range(1, 50))
async def test_parts_are_paid_once_at_every_point(world: World, point: int, after: bool) -> None:
    await parts_story(world, point, after)


async def test_the_queue_of_a_pool_is_in_the_order_in_which_it_is_served(world: World) -> None:
    ann, bob = await short_pool(world)
    for customer, amount in ((bob, 3), (ann, 2), (bob, 1)):
        await leave(world, customer, amount * K * SHARES)
        world.advance(DAY)
    found: list[Any] = await queue(world)
    assert [(w.customer_id, w.position) for w in found] == [(bob, 1), (ann, 2), (bob, 3)]
    assert [w.before for w in found] == [0, 3 * K, 5 * K]


async def test_an_exit_whose_part_is_on_its_way_is_shown_with_both(world: World) -> None:
    ann, bob = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    world.advance(DAY)
    await leave(world, bob, 50 * K * SHARES)
    world.advance(HOUR, 2)
    await accrual.step(world.deps)
    await recall.step(world.deps)
    [first, second] = await queue(world)
    assert (first.customer_id, first.state, first.on_its_way) == (ann, "releasing", 100 * K)
    assert (first.shares, first.amount, first.paid) == (300 * K * SHARES, 300 * K, 0)
    assert (second.on_its_way, second.before, second.position) == (0, 300 * K, 2)
    await world.mine()
    [first, _] = await queue(world)
    assert (first.on_its_way, first.amount, first.paid) == (0, 300 * K, 100 * K)
    await assert_sound(world)


@pytest.mark.parametrize("whole", [True, False])
async def test_an_exit_that_is_on_its_way_whole_is_shown_until_it_is_paid(
    world: World, whole: bool
) -> None:
    """Of a withdrawal nothing waits on, though it holds a few shares more than it burns."""
    ann, _ = await short_pool(world)
    if whole:
        await leave(world, ann, 50 * K * SHARES)
    else:
        async with world.db.write() as s:
            await withdrawal(world, s, ann, 50 * K)
    await recall.step(world.deps)
    [shown] = await queue(world)
    assert (shown.state, shown.on_its_way, shown.amount, shown.shares) == (
        "releasing", 50 * K, 0, 0)  # fmt: skip
    await world.mine()
    assert await queue(world) == []

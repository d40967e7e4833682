"""From a plan to money in venues and back, through lost answers, reverts and dead jobs."""

from typing import Any

import pytest

from custody.core.errors import NotFound
from router import exchange, funding, plan, policies, rebalance
from router.allocate import allocate
from router.moves import Action
from router.plan_json import allocation_to_json, problem_from_json
from router.stated_curves import Flat
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.world import PERCENT, World

pytestmark = pytest.mark.postgres


async def funded(world: World, amount: int = 1_000_000 * UNIT) -> None:
    ann = await world.customer("ann", amount)
    await world.join(ann, amount)
    await funding.step(world.deps)
    await world.mine()
    world.advance(1, 3)


async def run(world: World, rounds: int = 12) -> None:
    for _ in range(rounds):
        world.advance(2, 2)
        await rebalance.step(world.deps)
        await exchange.step(world.deps)
        await world.mine()


async def leg_rows(world: World) -> list[Any]:
    async with world.db.read() as s:
        return list(await s.all("SELECT venue_id, action, amount, state, reason FROM legs"))


async def test_plan_puts_money_over_three_tiers_under_the_caps(world: World) -> None:
    await funded(world)
    await run(world)
    v = await world.view()
    total = v.totals.assets
    assert v.venues["exchange-usdc"] == total * 20 // 100
    assert v.venues["vault-usdc"] <= total * 40 // 100
    assert v.venues["aave-usdc"] <= total * 60 // 100
    assert v.idle == total * 10 // 100
    assert (v.idle, v.venues["aave-usdc"]) == (world.idle, world.venues["aave-usdc"].position)
    assert (world.earn.free, world.earn.subscribed) == (0, v.venues["exchange-usdc"])
    assert {r.state for r in await leg_rows(world)} == {"done"}
    await assert_sound(world)


async def test_stored_plan_is_solved_again_to_the_same_answer(world: World) -> None:
    await funded(world)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    async with world.db.read() as s:
        [row] = await plan.listing(s, world.tenant, world.pool_id, None, 10)
        body, legs_ = await plan.get(s, world.tenant, row.id)
        with pytest.raises(NotFound):
            await plan.get(s, world.pool_id, row.id)  # type: ignore[arg-type]
    assert len(legs_) == 3
    assert allocation_to_json(allocate(problem_from_json(body.input))) == body.output


async def test_nothing_is_planned_without_a_policy(world: World) -> None:
    await funded(world)
    async with world.db.read() as s:
        assert (await policies.current(s, world.pool_id)) is not None
        assert await policies.current(s, world.tenant) is None  # type: ignore[arg-type]


async def test_released_money_is_in_flight_until_the_exchange_credits_it(world: World) -> None:
    await funded(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    await world.mine()
    credits, world.earn.credits = world.earn.credits, []
    await exchange.step(world.deps)
    v = await world.view()
    assert v.in_flight == v.totals.assets * 20 // 100
    await assert_sound(world)
    world.earn.credits = credits
    await exchange.step(world.deps)
    v = await world.view()
    assert (v.in_flight, v.venues["exchange-usdc"]) == (0, v.totals.assets * 20 // 100)
    await assert_sound(world)


@pytest.mark.parametrize("credited", [False, True])
async def test_money_on_its_way_is_counted_once_in_a_plan(world: World, credited: bool) -> None:
    """Whether or not the exchange has credited it before our leg knows."""
    await funded(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    await world.mine()
    if not credited:
        world.earn.free = 0
    made = await plan.draft(world.deps, world.tenant, world.pool_id)
    assert made.answer.total == 1_000_000 * UNIT
    assert {m.action for m in made.answer.moves} == {Action.HOLD}


async def test_lost_answer_of_a_subscription_does_not_double_it(world: World) -> None:
    """Property 9, at the exchange: the order was taken, the answer was not."""
    await funded(world)
    world.earn.drop = True
    await run(world)
    assert world.earn.calls == ["subscribe"]
    assert world.earn.subscribed == (await world.view()).totals.assets * 20 // 100
    await assert_sound(world)


async def test_exit_from_the_exchange_survives_lost_answers_at_every_order(world: World) -> None:
    await funded(world)
    await run(world)
    before = world.earn.subscribed
    async with world.db.write() as s:
        current = await policies.current(s, world.pool_id)
        assert current is not None
        tiers = world.risk_policy()["tiers"]
        tiers[2]["share_max"] = "0"
        document = world.risk_policy(version=2, previous=current.hash, tiers=tiers)
        await policies.load(
            s, world.tenant, world.pool_id, document, loaded_by="t", at=world.clock.now()
        )
    for _ in range(14):
        world.earn.drop = True
        await run(world, 1)
        world.advance(5)
    assert world.earn.calls.count("redeem") == 1
    assert world.earn.calls.count("withdraw") == 1
    assert (world.earn.subscribed, world.earn.free) == (0, 0)
    v = await world.view()
    assert v.venues["exchange-usdc"] == 0
    assert v.idle + sum(v.venues.values()) == v.totals.assets
    assert before > 0
    await assert_sound(world)


async def test_reverted_entry_frees_its_money_and_a_later_plan_tries_again(world: World) -> None:
    await funded(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    await world.mine(fail=True)
    assert {r.state for r in await leg_rows(world)} == {"failed"}
    await assert_sound(world)
    world.advance(20)
    await run(world)
    assert (await world.view()).idle == 100_000 * UNIT


async def test_live_guard_refuses_an_entry_that_the_plan_allowed(world: World) -> None:
    """Property 56: a venue that turned doubtful after the plan is not entered."""
    await funded(world)
    await rebalance.step(world.deps)
    world.venues["vault-usdc"].refusal = "drained"
    await rebalance.step(world.deps)
    rows = {r.venue_id: r for r in await leg_rows(world)}
    assert (rows["vault-usdc"].state, rows["vault-usdc"].reason) == ("cancelled", "drained")
    assert rows["aave-usdc"].state == "executing"


async def test_thin_venue_is_entered_in_parts_that_the_guard_lets_in(world: World) -> None:
    """A plan for more would be refused as often as it is made, and the money would lie idle."""
    world.venues["aave-usdc"].shared = 200_000 * UNIT
    await funded(world)
    await run(world)
    v = await world.view()
    assert v.venues["aave-usdc"] > 200_000 * UNIT
    assert v.idle == v.totals.assets * 10 // 100
    assert {r.state for r in await leg_rows(world)} == {"done"}


async def test_broken_venue_blocks_no_other(world: World) -> None:
    world.venues["vault-usdc"].broken = True
    await funded(world)
    await run(world)
    v = await world.view()
    assert v.venues["vault-usdc"] == 0
    assert v.venues["aave-usdc"] > 0
    await assert_sound(world)


async def test_better_venue_draws_money_exits_first(world: World) -> None:
    await funded(world)
    await run(world)
    world.venues["aave-usdc"].curve = Flat(1 * PERCENT)
    world.advance(20)
    await run(world)
    v = await world.view()
    assert v.venues["vault-usdc"] == v.totals.assets * 40 // 100
    await assert_sound(world)


async def test_a_job_run_twice_makes_one_intent_a_leg(world: World) -> None:
    await funded(world)
    for _ in range(4):
        await rebalance.step(world.deps)
    found = await world.intents()
    assert len(found) == 3
    assert len({intent.reference for _, intent in found}) == 3

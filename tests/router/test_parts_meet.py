"""Where parts meet that were made apart: exits that wait, plans, recalls, accrual, the forecast."""

from typing import Any

import pytest

from router import accrual, funding, outflows, owed, policies, rebalance, recall
from router.states import LegState
from tests.router.books_check import assert_sound
from tests.router.pool_world import START, UNIT
from tests.router.test_exits import DAY, HOUR, SHARES, K, liquidity, pay, queue, short_pool
from tests.router.test_products import leave
from tests.router.test_rebalance import funded
from tests.router.test_recall import balance, holder
from tests.router.test_risk_plan import governed
from tests.router.test_venue_exits import AAVE, ask, exits_of, settled
from tests.router.world import World

pytestmark = pytest.mark.postgres


async def reserved(world: World) -> int:
    async with world.db.snapshot() as s:
        return await owed.reserved(s, await world.pool_row(s), world.clock.now())


async def test_a_loss_counts_at_a_venue_where_an_exit_waits(world: World) -> None:
    """Else who leaves first is paid at a price that is not there any more."""
    await settled(world)
    await accrual.step(world.deps)
    aave = world.venues[AAVE]
    aave.liquidity = 0
    await ask(world, aave.position)
    await rebalance.step(world.deps)
    [leg] = await exits_of(world)
    assert leg.state is LegState.WAITING
    aave.position -= 50_000 * UNIT
    world.advance(60, 3)
    await accrual.step(world.deps)
    assert (await world.view()).totals.assets == 950_000 * UNIT
    await assert_sound(world)


async def test_the_rest_of_an_exit_stays_reserved_while_its_part_is_paid(world: World) -> None:
    """Money that comes home meanwhile is his, and the recall for it goes on."""
    ann, _ = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    aave = world.venues[AAVE]
    aave.withdrawable, aave.liquidity = None, 0
    await recall.step(world.deps)
    await rebalance.step(world.deps)
    assert [leg.state for leg in await exits_of(world)] == [LegState.WAITING]
    world.advance(HOUR)
    await recall.step(world.deps)
    assert [intent.amount for _, intent in await world.intents()] == [100 * K]
    assert await reserved(world) == 300 * K
    await recall.step(world.deps)
    assert [leg.state for leg in await exits_of(world)] == [LegState.WAITING]
    await world.mine()
    assert await balance(world, ann) == 100 * K
    assert await reserved(world) == 300 * K
    await assert_sound(world)


async def test_nobody_is_overtaken_while_a_part_is_paid(world: World) -> None:
    ann, bob = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)
    world.advance(DAY)
    await leave(world, bob, 50 * K * SHARES)
    await recall.step(world.deps)
    [(_, part)] = await world.intents()
    carl = await world.customer("carl", 60 * K)
    await world.join(carl, 60 * K)
    await funding.step(world.deps)
    [fund] = [i for _, i in await world.intents() if i.id != part.id]
    receipt = world._receipt(world._logs(fund), 1)
    world.client.receipts[receipt.tx_hash] = receipt
    await world.settle_intent(fund, receipt)
    await recall.step(world.deps)
    found = [(w.customer_id, w.set_aside) for w in await queue(world)]
    assert found == [(ann, 0), (bob, 0)], "ann's turn is kept"
    await world.mine()
    await pay(world)
    assert (await balance(world, ann), await balance(world, bob)) == (160 * K, 0)
    await assert_sound(world)


async def test_a_day_counts_all_that_was_asked_for_where_it_is_paid_in_parts(world: World) -> None:
    ann, _ = await short_pool(world)
    await leave(world, ann, 400 * K * SHARES)

    async def first_day() -> int:
        async with world.db.snapshot() as s:
            found = await outflows.days(s, await world.pool_row(s), START, world.clock.now())
        return found[0].net_flow

    world.advance(DAY)
    assert await first_day() == 600 * K
    await recall.step(world.deps)
    assert await first_day() == 600 * K, "a part is on its way"
    await world.mine()
    assert await first_day() == 600 * K, "a part is paid"
    liquidity(world, None)
    for _ in range(4):
        world.advance(20, 2)
        await recall.step(world.deps)
        await rebalance.step(world.deps)
        await world.mine()
    assert await balance(world, ann) == 400 * K
    assert await first_day() == 600 * K, "the last part is paid"


async def test_an_entry_of_a_plan_under_an_overtaken_policy_is_not_made(world: World) -> None:
    """One person may tighten at once, and at once it binds."""
    await funded(world)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    async with world.db.write() as s:
        last = await policies.current(s, world.pool_id)
        assert last is not None
        document = world.risk_policy(version=2, previous=last.hash)
        document["venues"] = [{**v, "cap": "0"} for v in document["venues"]]
        await policies.load(
            s, world.tenant, world.pool_id, document, loaded_by="t", at=world.clock.now()
        )
    world.advance(2, 2)
    await rebalance.step(world.deps)
    assert await world.intents() == []
    assert {(leg.state, leg.code) for leg in await legs_of(world)} == {
        ("cancelled", "policy-changed")
    }


async def legs_of(world: World) -> Any:
    async with world.db.read() as s:
        return await s.all("SELECT venue_id, amount, state, code FROM legs ORDER BY id")


async def test_an_entry_leaves_what_the_ladder_wants_at_hand(world: World) -> None:
    """A plan for half of it; then two fifths leave: the entries are smaller by that."""
    rung = {"horizon_s": 3600, "share_min": "0.5"}
    await governed(world, liquidity={"quantile": "0.99", "ladder": [rung]}, groups=[])
    await funded(world)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    assert sum(leg.amount for leg in await legs_of(world)) == 500 * K
    await leave(world, await holder(world), 400 * K * SHARES)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    entering = sum(intent.amount for _, intent in await world.intents())
    assert 1_000 * K - entering - 400 * K >= 300 * K, "half of what stays is at hand"

"""Intents that are refused before they are sent: holds released, and the pool goes on."""

import pytest

from custody.core.intents import IntentKind
from custody.settlement.states import IntentState, move
from router import funding, legs, rebalance, recall
from router.moves import Action
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, leg_rows, run
from tests.router.test_recall import balance, holder, leave, settle, states
from tests.router.world import World

pytestmark = pytest.mark.postgres


async def refuse(world: World) -> set[IntentKind]:
    """As settlement does: the intent's end and the owner's effects in one commit, no receipt."""
    found = await world.intents()
    for id_, intent in found:
        async with world.db.write() as s:
            await move(s, intent.id, IntentState.QUEUED, IntentState.REFUSED, reason="no")
            await world.effects[intent.kind].on_failed(s, intent, "refused by policy", None)
        assert id_ == intent.id
    return {intent.kind for _, intent in found}


async def holds(world: World) -> int:
    async with world.db.read() as s:
        return int(await s.scalar("SELECT count(*) FROM open_holds"))


async def passed(world: World) -> None:
    """Every wait for another try is over."""
    async with world.db.write() as s:
        for table in ("pool_fundings", "redemptions"):
            await s.execute(f"UPDATE {table} SET retry_at = NULL")


async def test_refused_funding_waits_and_goes_again(world: World) -> None:
    ann = await world.customer("ann", UNIT)
    await world.join(ann, UNIT)
    await funding.step(world.deps)
    assert await refuse(world) == {IntentKind.POOL_FUND}
    assert await holds(world) == 0
    await assert_sound(world)
    await passed(world)
    assert await funding.step(world.deps) == 1
    await world.mine()
    assert (await world.view()).idle == UNIT


async def test_refused_entries_free_their_money_and_are_planned_again(world: World) -> None:
    await funded(world)
    await rebalance.step(world.deps)
    await rebalance.step(world.deps)
    assert await refuse(world) == {IntentKind.ALLOCATE, IntentKind.RELEASE}
    assert await holds(world) == 0
    assert {(r.state, r.reason) for r in await leg_rows(world)} == {("failed", "refused by policy")}
    await assert_sound(world)
    world.advance(3_600, 10)
    await run(world)
    v = await world.view()
    assert v.idle == v.totals.assets // 10
    await assert_sound(world)


async def test_refused_release_waits_and_goes_again(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    await leave(world, ann, 50_000 * UNIT * 10**6)
    await recall.step(world.deps)
    assert await refuse(world) == {IntentKind.RELEASE}
    assert [r.state for r in await states(world)] == ["requested"]
    assert await holds(world) == 1  # the holder's shares
    await passed(world)
    await settle(world, 2)
    assert await balance(world, ann) == 50_000 * UNIT
    await assert_sound(world)


async def test_refused_exit_fails_its_leg_alone(world: World) -> None:
    await funded(world)
    await run(world)
    async with world.db.write() as s:
        item = await world.pool_row(s)
        await legs.add(s, item, None, "aave-usdc", Action.EXIT, UNIT, at=world.clock.now())
    await rebalance.step(world.deps)
    assert await refuse(world) == {IntentKind.DEALLOCATE}
    assert [r.state for r in await leg_rows(world) if r.action == "exit"] == ["failed"]
    await assert_sound(world)

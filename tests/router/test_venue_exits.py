"""Exits in parts: what can leave does, the rest waits by itself, and nothing else waits for it."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.core.errors import Unavailable
from router import accrual, exchange, funding, legs, plan, rebalance, recall, venue_exits
from router.legs import Leg
from router.moves import Action
from router.stated_curves import Flat
from router.venues.port import VenueState
from tests.router.books_check import assert_sound
from tests.router.pool_world import START, UNIT
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import balance, holder, leave
from tests.router.world import PERCENT, World

pytestmark = pytest.mark.postgres

AAVE = "aave-usdc"


async def ask(world: World, amount: int, venue: str = AAVE) -> UUID:
    async with world.db.write() as s:
        item = await world.pool_row(s)
        return await legs.add(s, item, None, venue, Action.EXIT, amount, at=world.clock.now())


async def exits_of(world: World, venue: str = AAVE) -> list[Leg]:
    async with world.db.read() as s:
        rows = await s.all(
            "SELECT id FROM legs WHERE venue_id = :v AND action = 'exit' ORDER BY id", {"v": venue}
        )
        return [await legs.get(s, row.id) for row in rows]


def shown(found: list[Leg]) -> list[tuple[str, int]]:
    return [(leg.state.value, leg.amount // UNIT) for leg in found]


async def settled(world: World) -> World:
    await funded(world)
    await run(world)
    return world


async def test_what_can_leave_does_and_the_rest_follows(world: World) -> None:
    await settled(world)
    aave = world.venues[AAVE]
    total = aave.position
    aave.liquidity = aave.withdrawable = 70_000 * UNIT
    await ask(world, total)
    await rebalance.step(world.deps)
    assert shown(await exits_of(world)) == [
        ("executing", 70_000), ("waiting", (total - 70_000 * UNIT) // UNIT)
    ]  # fmt: skip
    await world.mine()
    assert aave.position == total - 70_000 * UNIT
    [first, rest] = await exits_of(world)
    assert (rest.retry_of, rest.attempts, rest.code) == (first.id, 1, "exit-waits")
    assert rest.retry_at == world.clock.now() + timedelta(seconds=legs.RETRY_S - 1)
    aave.liquidity, aave.withdrawable = None, None
    await rebalance.step(world.deps)
    assert await world.intents() == [], "its pause is not over"
    world.advance(60)
    await rebalance.step(world.deps)
    await world.mine()
    assert aave.position == 0
    assert [leg.state.value for leg in await exits_of(world)] == ["done", "done"]
    await assert_sound(world)


async def test_venue_that_says_all_and_pays_a_part(world: World) -> None:
    """Its own word is a hint: the part is found by simulation, in few steps, from below."""
    await settled(world)
    aave = world.venues[AAVE]
    aave.liquidity = aave.position * 37 // 100
    total = aave.position
    await ask(world, total)
    await rebalance.step(world.deps)
    [first, rest] = await exits_of(world)
    assert first.amount + rest.amount == total
    assert aave.liquidity * 9 // 10 <= first.amount <= aave.liquidity
    await world.mine()
    await assert_sound(world)


async def test_drained_venue_is_asked_ever_more_rarely(world: World) -> None:
    await settled(world)
    world.venues[AAVE].liquidity = 0
    await ask(world, 1_000 * UNIT)
    pauses = []
    for _ in range(9):
        await rebalance.step(world.deps)
        [leg] = await exits_of(world)
        assert leg.retry_at is not None
        pauses.append(int((leg.retry_at - world.clock.now()).total_seconds()))
        world.advance(pauses[-1])
    assert pauses == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]
    assert await world.intents() == []


async def test_exit_that_waits_stops_no_entry_elsewhere_and_no_plan(world: World) -> None:
    await settled(world)
    world.venues[AAVE].liquidity = 0
    world.venues[AAVE].withdrawable = 0
    await ask(world, world.venues[AAVE].position)
    await rebalance.step(world.deps)
    bob = await world.customer("bob", 100_000 * UNIT)
    await world.join(bob, 100_000 * UNIT)
    before = world.venues["vault-usdc"].position
    world.advance(20, 2)
    await funding.step(world.deps)
    await world.mine()
    await run(world, 8)
    assert world.venues["vault-usdc"].position > before
    assert (await exits_of(world))[0].state == "waiting"
    await assert_sound(world)


async def test_plan_that_no_longer_wants_it_out_ends_it(world: World) -> None:
    await settled(world)
    vault = world.venues["vault-usdc"]
    old, vault.curve = vault.curve, Flat(1 * PERCENT)
    vault.liquidity = 0
    for _ in range(4):
        world.advance(11, 2)
        await rebalance.step(world.deps)
    [leg] = await exits_of(world, "vault-usdc")
    assert leg.state == "waiting"
    assert await world.intents() == [], "what it should have paid for is not taken from the buffer"
    vault.curve, vault.liquidity = old, None
    world.advance(4_000, 2)
    await rebalance.step(world.deps)
    [leg] = await exits_of(world, "vault-usdc")
    assert (leg.state, leg.code) == ("cancelled", "superseded")
    assert await world.intents() == []


async def test_recall_that_waits_ends_when_the_money_is_there(world: World) -> None:
    await settled(world)
    ann = await holder(world)
    world.venues["vault-usdc"].liquidity = 0
    await leave(world, ann, 150_000 * UNIT * 10**6)
    for _ in range(12):
        await recall.step(world.deps)
        await run(world, 1)
    assert await balance(world, ann) == 150_000 * UNIT
    await recall.step(world.deps)
    recalled = [leg for leg in await exits_of(world, "vault-usdc") if leg.plan_id is None]
    assert [(leg.state, leg.code) for leg in recalled] == [("cancelled", "superseded")]
    await assert_sound(world)


async def test_exit_that_reverts_on_chain_is_tried_again_by_itself(world: World) -> None:
    await settled(world)
    await ask(world, 1_000 * UNIT)
    await rebalance.step(world.deps)
    await world.mine(fail=True)
    [first, again] = await exits_of(world)
    assert (first.state, again.state, again.retry_of) == ("failed", "waiting", first.id)
    world.advance(60)
    await rebalance.step(world.deps)
    await world.mine()
    assert (await exits_of(world))[1].state == "done"
    await assert_sound(world)


async def test_exit_of_more_than_is_there_takes_what_is_there(world: World) -> None:
    """After a loss the leg asks for more than the venue has of ours."""
    await settled(world)
    aave = world.venues[AAVE]
    asked = aave.position
    aave.position = asked // 2
    world.advance(60, 3)
    await accrual.step(world.deps)
    await ask(world, asked)
    await rebalance.step(world.deps)
    await world.mine()
    assert aave.position == 0
    assert shown(await exits_of(world)) == [("done", asked // 2 // UNIT)]
    await ask(world, asked)
    await rebalance.step(world.deps)
    assert (await exits_of(world))[1].code == "superseded"
    await assert_sound(world)


async def test_exit_is_never_asked_what_speaks_against_entries(world: World) -> None:
    """Neither halt nor refusal nor a paused pool keeps money in."""
    await settled(world)
    aave = world.venues[AAVE]
    aave.refusal = "frozen"
    async with world.db.write() as s:
        await s.execute("UPDATE pools SET state = 'paused'")
    await ask(world, aave.position)
    await rebalance.step(world.deps)
    await world.mine()
    assert aave.position == 0


async def test_exchange_that_does_not_answer_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(world)
    await ask(world, 100_000 * UNIT, "exchange-usdc")

    async def silent(*_: Any) -> int:
        raise Unavailable("silent")

    monkeypatch.setattr(world.earn, "position", silent)
    await exchange.step(world.deps)
    async with world.db.read() as s:
        item = await world.pool_row(s)
        assert not await plan.due(s, world.deps, item)
    world.advance(700, 2)
    async with world.db.read() as s:
        assert await plan.due(s, world.deps, item)


@pytest.mark.parametrize(("attempts", "pause_s"), [(0, 60), (1, 120), (5, 1_920), (99, 3_600)])
def test_pauses(attempts: int, pause_s: int) -> None:
    assert venue_exits.later(START, attempts) == START + timedelta(seconds=pause_s)


@pytest.mark.unit
@given(
    amount=st.integers(1, 10**15),
    pays=st.integers(0, 10**15),
    hint=st.one_of(st.none(), st.integers(0, 10**15)),
)
async def test_part_that_is_found_would_leave(amount: int, pays: int, hint: int | None) -> None:
    """Never more than the venue pays, in at most twelve looks; a true hint is taken to the unit."""
    looks: list[int] = []

    async def reverts(_deps: Any, _pool: Any, _row: Any, asked: int) -> str:
        looks.append(asked)
        return "no" if asked > pays else ""

    state = None if hint is None else cast(VenueState, SimpleNamespace(withdrawable=hint))
    nobody: Any = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(venue_exits, "reverts", reverts)
        part, reason = await venue_exits.leavable(nobody, nobody, nobody, amount, state)
    assert part <= min(amount, pays)
    assert len(looks) <= 2 + venue_exits.HALVINGS + venue_exits.CLOSER + 1
    assert (reason == "") == (part == amount)
    if hint == pays:
        assert part == min(amount, pays)
    if hint is None and amount >> venue_exits.HALVINGS and pays >= amount >> venue_exits.HALVINGS:
        assert part * 2 > min(amount, pays)


async def test_what_waits_is_not_counted_on_by_who_wants_out(world: World) -> None:
    await settled(world)
    world.venues["vault-usdc"].liquidity = 0
    await ask(world, 50_000 * UNIT, "vault-usdc")
    await rebalance.step(world.deps)
    await leave(world, await holder(world), 150_000 * UNIT * 10**6)
    await recall.step(world.deps)
    assert shown(await exits_of(world)) == [("planned", 50_000)]

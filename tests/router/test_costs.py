"""Ceilings at planning and just before a leg: entries and exits for yield wait, nothing else."""

from typing import Any

import pytest

from custody.core.money import AssetId, native_asset
from custody.core.prices import Price
from custody.policy import reference
from router import costs, departures, legs, plan, rebalance, recall
from router.legs import Leg
from router.moves import Action
from router.stated_curves import Flat
from router.states import LegState
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.risk.documents import GOOD
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import balance, holder, leave
from tests.router.test_risk_plan import governed
from tests.router.world import ASSET, CHAIN, PERCENT, World

pytestmark = pytest.mark.postgres

VAULT, AAVE = "vault-usdc", "aave-usdc"
GWEI = 10**9


async def priced(world: World) -> None:
    """A coin of 3,000 dollars, an asset of one."""
    now, coin = world.clock.now(), AssetId(native_asset(CHAIN))
    async with world.db.write() as s:
        for asset, value, scale in ((coin, 3_000, 18), (ASSET, 1, 6)):
            for source in ("a", "b"):
                await reference.put(s, Price(asset, "USD", value, scale, source, now, None), at=now)


async def ceilings(world: World, *, version: int = 2, **changes: Any) -> None:
    """100 dollars of gas a leg, and whatever else is said. No venue is left out by a group."""
    rule = {
        **GOOD["rebalance"], "ticket": str(UNIT), "min_gain": "1", "turnover_share_max": None,
        "gas_max": str(100 * UNIT), "slippage_max_bps": None,
    }  # fmt: skip
    await governed(world, version=version, groups=[], rebalance={**rule, **changes})


async def last(world: World, venue: str = VAULT) -> Leg:
    async with world.db.read() as s:
        id_ = await s.scalar(
            "SELECT id FROM legs WHERE venue_id = :v ORDER BY id DESC LIMIT 1", {"v": venue}
        )
        return await legs.get(s, id_)


def spike(world: World, gwei: int = 200) -> None:
    """A transaction of the guard costs some 270 dollars at 200 gwei of base fee."""
    world.client.base_wei, world.client.gas = gwei * GWEI, 400_000


@pytest.fixture
async def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    async def nothing(*_: Any) -> tuple[None, None]:
        return None, None

    monkeypatch.setattr(costs, "_slips", nothing)  # the fake chain has no vault to ask
    await ceilings(world)
    await funded(world)
    await priced(world)
    return world


async def test_a_plan_enters_nothing_while_gas_is_dear_and_says_why(ready: World) -> None:
    spike(ready)
    made = await plan.draft(ready.deps, ready.tenant, ready.pool_id)
    [aave, exchange, vault] = sorted(made.answer.moves, key=lambda m: m.venue)
    assert (aave.code, vault.code) == ("hold:entry-refused", "hold:entry-refused")
    assert vault.reason == "no entry: gas would cost 337500000, the ceiling is 100000000"
    assert exchange.action is Action.ENTER, "to pay an exchange takes a fifth of it"
    ready.client.base_wei = GWEI
    made = await plan.draft(ready.deps, ready.tenant, ready.pool_id)
    assert {m.action for m in made.answer.moves} == {Action.ENTER}
    assert {v.enter_cost for v in made.problem.venues} == {1_687_500, 303_750}


async def test_without_agreed_prices_nothing_is_entered_under_a_ceiling(world: World) -> None:
    await ceilings(world)
    await funded(world)
    made = await plan.draft(world.deps, world.tenant, world.pool_id)
    assert {m.reason for m in made.answer.moves} == {
        "no entry: what gas costs cannot be said: no agreed price"
    }


async def test_an_entry_waits_for_gas_and_then_goes(ready: World) -> None:
    await rebalance.step(ready.deps)
    spike(ready)
    for _ in range(3):
        ready.advance(30, 2)
        await priced(ready)
        await rebalance.step(ready.deps)
        waiting = await last(ready)
        assert (waiting.state, waiting.code) == (LegState.PLANNED, "gas-ceiling")
        assert waiting.reason == "gas would cost 270000000, the ceiling is 100000000"
    ready.client.base_wei = 0
    await rebalance.step(ready.deps)
    sent = await last(ready)
    assert (sent.state, sent.code, sent.reason) == (LegState.EXECUTING, None, None)
    assert (sent.gas_cost, sent.slippage) == (0, None)
    await ready.mine()
    await run(ready, 3)
    assert (await last(ready)).state is LegState.DONE
    await assert_sound(ready)


async def test_an_entry_that_has_waited_enough_is_planned_again_when_gas_is_cheap(
    ready: World,
) -> None:
    await rebalance.step(ready.deps)
    spike(ready)
    ready.advance(601, 2)
    await priced(ready)
    await rebalance.step(ready.deps)
    assert ((await last(ready)).state, (await last(ready)).code) == (
        LegState.CANCELLED, "gas-ceiling")  # fmt: skip
    await run(ready, 3)
    assert ready.venues[VAULT].position == 0
    ready.client.base_wei = 0
    ready.advance(61, 2)
    await run(ready)
    assert ready.venues[VAULT].position > 0
    await assert_sound(ready)


async def settled(world: World) -> World:
    await run(world)
    assert world.venues[VAULT].position > 0
    return world


async def yield_exit(world: World) -> None:
    """The vault pays less than before: a plan would leave it for aave. Calm since then."""
    world.venues[VAULT].curve = Flat(25 * PERCENT // 10)
    world.advance(11, 2)
    await priced(world)


async def test_an_exit_for_yield_waits_and_a_holder_who_wants_the_money_ends_that(
    ready: World,
) -> None:
    await settled(ready)
    await yield_exit(ready)
    await rebalance.step(ready.deps)
    wanted = await last(ready)
    assert (wanted.action, wanted.state) == (Action.EXIT, LegState.PLANNED)
    spike(ready)
    await rebalance.step(ready.deps)
    found = await last(ready)
    assert (found.id, found.state, found.code) == (wanted.id, LegState.PLANNED, "gas-ceiling")
    ann = await holder(ready)
    await leave(ready, ann, (await ready.view()).totals.shares)
    await rebalance.step(ready.deps)
    assert (await last(ready)).state is LegState.EXECUTING
    for _ in range(10):
        await recall.step(ready.deps)
        await run(ready, 1)
    assert await balance(ready, ann) == 1_000_000 * UNIT, "recalls ask nobody what gas costs"
    await assert_sound(ready)


async def test_a_limit_and_an_order_are_obeyed_at_any_price(ready: World) -> None:
    await settled(ready)
    spike(ready)
    tiers = ready.risk_policy()["tiers"]
    tiers[1]["share_max"] = "0.10"
    await governed(ready, version=3, groups=[], tiers=tiers, rebalance={
        **GOOD["rebalance"], "ticket": str(UNIT), "turnover_share_max": None,
        "gas_max": "1", "slippage_max_bps": 0,
    })  # fmt: skip
    ready.client.loses = UNIT
    await run(ready, 8)
    assert ready.venues[VAULT].position == 100_000 * UNIT
    async with ready.db.write() as s:
        await departures.order(
            s, ready.tenant, ready.pool_id, VAULT, by="ann", reason="x", at=ready.clock.now()
        )
    await departures.step(ready.deps)
    await run(ready, 3)
    assert ready.venues[VAULT].position == 0
    await assert_sound(ready)


async def test_an_exit_out_of_danger_goes_at_any_price(ready: World) -> None:
    await settled(ready)
    await yield_exit(ready)
    await rebalance.step(ready.deps)
    spike(ready)
    ready.venues[VAULT].refusal = "the reserve is inactive, frozen or paused"
    await rebalance.step(ready.deps)
    found = await last(ready)
    assert (found.action, found.state, found.gas_cost) == (Action.EXIT, LegState.EXECUTING, None)


@pytest.mark.parametrize(("bps", "goes"), [(30, True), (29, False)])
async def test_slippage_by_the_simulation(ready: World, bps: int, goes: bool) -> None:
    """Of every entry 30 basis points are lost: 0.3 % of 400,000 for the vault."""
    await ceilings(ready, version=3, slippage_max_bps=bps)
    await rebalance.step(ready.deps)
    amount = (await last(ready)).amount
    ready.client.loses = amount * 30 // 10_000
    await rebalance.step(ready.deps)
    found = await last(ready)
    if goes:
        assert (found.state, found.slippage) == (LegState.EXECUTING, ready.client.loses)
    else:
        assert (found.state, found.code) == (LegState.PLANNED, "slippage")
        assert found.reason is not None
        assert found.reason.endswith("would be lost, 29 bp may be")


async def test_no_ceiling_asks_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("not asked")

    monkeypatch.setattr(costs, "gas_price", never)
    monkeypatch.setattr(costs, "simulated", never)
    await governed(world)
    await funded(world)
    await run(world)
    assert world.venues[VAULT].position > 0

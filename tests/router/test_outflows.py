"""What a pool may have to pay out: read from the books of a pool that lives through some days."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from custody.core.ids import CustomerId, PoolId, new_uuid7
from custody.parties import tenants
from router import outflows, pool, recall
from router.forecast import ONE_DAY, SEVEN_DAYS, Day, Forecast, buffer_up, forecast, start
from router.outflows import Known, Need
from router.tiers import WAD, Tier
from tests.router.pool_world import START, TERMS, UNIT
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import holder, leave, settle, withdrawal
from tests.router.world import ASSET, CHAIN, World, addr

pytestmark = pytest.mark.postgres

DAY_S, SHARES = 86_400, UNIT * 10**6
MILLION = 1_000_000 * UNIT


async def needed(world: World) -> tuple[Need, ...]:
    async with world.db.snapshot() as s:
        return await outflows.needs(s, await world.pool_row(s), world.clock.now())


async def history(world: World) -> list[Day]:
    async with world.db.snapshot() as s:
        return await outflows.days(s, await world.pool_row(s), START, world.clock.now())


async def known(world: World, horizon_days: int = 1) -> Known:
    async with world.db.snapshot() as s:
        item = await world.pool_row(s)
        return await outflows.known(s, item, world.clock.now(), horizon_days)


async def asked(world: World, ann: CustomerId, amount: int, **columns: Any) -> None:
    """A withdrawal of pooled money that is still `approved`, or what `columns` say."""
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    async with world.db.write() as s:
        id_ = await withdrawal(world, s, ann, amount)
        await s.execute(f"UPDATE withdrawals SET {sets} WHERE id = :id", {"id": id_, **columns})


async def test_a_new_pool_has_the_prior(world: World) -> None:
    await funded(world)
    one, seven = await needed(world)
    assert one.made == Forecast(0, ONE_DAY.prior_wad, start(ONE_DAY), 0, 0)
    assert (one.amount, seven.amount) == (MILLION // 10, MILLION // 5)
    assert (one.assets, one.first_day, one.known.total) == (MILLION, START, 0)


async def test_an_empty_pool_needs_nothing(world: World) -> None:
    assert [need.amount for need in await needed(world)] == [0, 0]


async def test_a_day_counts_what_was_asked_for_and_not_what_was_paid(world: World) -> None:
    await funded(world)
    ann = await holder(world)
    world.advance(2 * DAY_S - 60 - int((world.clock.now() - START).total_seconds()))
    await leave(world, ann, 100_000 * SHARES)  # a minute before midnight
    world.advance(120)
    await settle(world, 2)
    bob = await world.customer("bob", 50_000 * UNIT)
    await world.join(bob, 50_000 * UNIT)
    world.advance(DAY_S)
    assert await history(world) == [
        Day(0, MILLION),
        Day(MILLION, -100_000 * UNIT),
        Day(MILLION, 50_000 * UNIT),
    ]
    world.advance(DAY_S)
    assert (await history(world))[3] == Day(950_000 * UNIT, 0)


async def test_a_request_without_an_amount_counts_by_its_shares_until_it_is_paid(
    world: World,
) -> None:
    await funded(world)
    await leave(world, await holder(world), 100_000 * SHARES)
    assert (await known(world)).redemptions == 100_000 * UNIT
    world.advance(DAY_S)
    assert (await history(world))[0].net_flow == MILLION - 100_000 * UNIT
    await settle(world, 2)
    assert (await history(world))[0].net_flow == MILLION - 100_000 * UNIT
    assert (await known(world)).total == 0


async def test_today_is_no_history_yet(world: World) -> None:
    await funded(world)
    assert await history(world) == []
    world.advance(DAY_S)
    assert len(await history(world)) == 1


async def test_what_failed_took_nothing(world: World) -> None:
    await funded(world)
    await leave(world, await holder(world), 100_000 * SHARES)
    async with world.db.write() as s:
        await s.execute("UPDATE redemptions SET state = 'failed'")
    world.advance(DAY_S)
    assert (await history(world))[0].net_flow == MILLION
    assert (await known(world)).total == 0


HOUR, WEEK = timedelta(hours=1), timedelta(days=7)


@pytest.mark.parametrize(
    ("columns", "one_day", "seven_days"),
    [
        ({"state": "requested"}, Known(0, 5, 0), Known(0, 5, 0)),
        ({"state": "screened"}, Known(0, 5, 0), Known(0, 5, 0)),
        ({"state": "approved"}, Known(0, 5, 0), Known(0, 5, 0)),
        ({"state": "scheduled"}, Known(0, 5, 0), Known(0, 5, 0)),  # waits for a lower fee
        ({"state": "awaiting_liquidity"}, Known(0, 5, 0), Known(0, 5, 0)),
        ({"state": "scheduled", "not_before": HOUR}, Known(0, 0, 5), Known(0, 0, 5)),
        ({"state": "scheduled", "not_before": -HOUR}, Known(0, 5, 0), Known(0, 5, 0)),
        ({"state": "scheduled", "not_before": 2 * outflows.DAY}, Known(0, 0, 0), Known(0, 0, 5)),
        ({"state": "approved", "not_before": WEEK}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "awaiting_liquidity", "redeemed": True}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "settled", "redeemed": True}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "cancelled"}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "expired"}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "refused"}, Known(0, 0, 0), Known(0, 0, 0)),
        ({"state": "failed"}, Known(0, 0, 0), Known(0, 0, 0)),
    ],
)
async def test_withdrawals_that_hold_shares_are_known(
    world: World, columns: dict[str, Any], one_day: Known, seven_days: Known
) -> None:
    await funded(world)
    at = {
        name: world.clock.now() + value if isinstance(value, timedelta) else value
        for name, value in columns.items()
    }
    await asked(world, await holder(world), 5, **at)
    assert await known(world) == one_day
    assert await known(world, 7) == seven_days


async def test_a_withdrawal_the_router_has_taken_up_counts_once(world: World) -> None:
    await funded(world)
    await run(world)
    await asked(world, await holder(world), 500_000 * UNIT, state="awaiting_liquidity")
    assert await known(world) == Known(0, 500_000 * UNIT, 0)
    await recall.step(world.deps)
    assert await known(world) == Known(500_000 * UNIT, 0, 0)
    await settle(world)
    assert await known(world) == Known(0, 0, 0)


async def test_the_parts_add_up_and_anyone_can_recompute_them(world: World) -> None:
    await funded(world)
    ann = await holder(world)
    for amount in (20_000, 50_000, 10_000):
        world.advance(DAY_S)
        await leave(world, ann, amount * SHARES)
        await settle(world, 2)
    world.advance(DAY_S)
    await leave(world, ann, 7 * SHARES)
    await asked(world, ann, 3, state="approved")
    past = await history(world)
    for need, rule in zip(await needed(world), (ONE_DAY, SEVEN_DAYS), strict=True):
        assert need.made == forecast(past, [], rule)
        assert need.known == Known(7 * UNIT, 3, 0)
        assert need.amount == buffer_up(7 * UNIT + 3, need.assets, need.made.share_wad)
        body = need.to_json()
        assert body["amount"] == str(need.amount)
        assert body["known"] == {"redemptions": str(7 * UNIT), "withdrawals": "3", "scheduled": "0"}
        assert body["forecast"]["state"] == need.made.state.to_json()
    one, _ = await needed(world)
    assert one.made.own == 3
    # Three own days of a hundred, at worst 50,000 of 980,000; the prior stands for the rest.
    prior, worst = 97 * ONE_DAY.prior_wad // 100, 3 * (50 * WAD // 980) // 100
    assert prior + worst * 9 // 10 < one.made.share_wad <= prior + worst + 1


async def other_pool(world: World, name: str, tenant: Any, at: datetime) -> PoolId:
    id_ = PoolId(new_uuid7())
    async with world.db.write() as s:
        await pool.create(
            s, world.registry, tenant_id=tenant, pool_id=id_, chain_id=CHAIN, asset_id=ASSET,
            name=name, guard=addr(0xB2 + len(name)), tier=Tier.CASH, terms=TERMS, spread_bps=0,
            at=at,
        )  # fmt: skip
    return id_


async def test_others_are_the_same_tenants(world: World) -> None:
    await funded(world)
    mine, elder = world.pool_id, await other_pool(world, "elder", world.tenant, START - 5 * WEEK)
    async with world.db.write() as s:
        stranger = (await tenants.create(s, "Stranger", 1, "xpub-other", at=START)).id
    await other_pool(world, "stranger", stranger, START - 9 * WEEK)
    world.pool_id = elder
    bob = await world.customer("bob", MILLION)
    await world.join(bob, MILLION)
    world.pool_id = mine
    world.advance(3 * DAY_S)
    one, _ = await needed(world)
    assert one.first_day == START - 5 * WEEK
    assert (one.made.own, one.made.others, one.made.day) == (2, 2, 38)


async def test_history_ends_two_years_back(world: World) -> None:
    await funded(world)
    world.advance(800 * DAY_S)
    one, _ = await needed(world)
    assert one.made.day == outflows.DAYS_MAX
    assert (one.made.own, one.made.share_wad) == (outflows.DAYS_MAX, 0)

"""Redemptions: paid from idle money, recalled where it lacks, settled once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.core.db import WriteSession
from custody.core.ids import CustomerId, new_uuid7
from custody.ledger import accounts, balances, chart, holds
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.withdrawals import models as withdrawal_models
from router import accrual, books, legs, pool, rebalance, recall
from router.moves import Action
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, run
from tests.router.world import ASSET, CHAIN, World, addr

pytestmark = pytest.mark.postgres


async def holder(world: World) -> CustomerId:
    return (await world.view()).holdings[0].customer_id


async def balance(world: World, customer: CustomerId) -> int:
    async with world.db.read() as s:
        found = await accounts.find(s, world.tenant, chart.customer(customer), ASSET)
    return 0 if found is None else balances.balance_of(found).posted


async def leave(world: World, customer: CustomerId, shares: int) -> UUID:
    async with world.db.write() as s:
        id_: UUID = await pool.leave(
            s, world.tenant, world.pool_id, customer, shares, at=world.clock.now()
        )
        return id_


async def settle(world: World, rounds: int = 10) -> None:
    for _ in range(rounds):
        await accrual.step(world.deps)
        await recall.step(world.deps)
        await run(world, 1)


async def states(world: World) -> list[Any]:
    async with world.db.read() as s:
        return list(await s.all("SELECT state, reason, amount, shares FROM redemptions"))


async def test_small_exit_is_paid_from_the_buffer(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    await leave(world, ann, 50_000 * UNIT * 10**6)
    await recall.step(world.deps)
    await recall.step(world.deps)
    assert len(await world.intents()) == 1
    await world.mine()
    assert await balance(world, ann) == 50_000 * UNIT
    assert world.treasury == 50_000 * UNIT
    assert [r.state for r in await states(world)] == ["settled"]
    await assert_sound(world)


async def test_exit_beyond_the_buffer_recalls_from_the_quickest_venue(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    await leave(world, ann, 500_000 * UNIT * 10**6)
    await settle(world)
    assert await balance(world, ann) == 500_000 * UNIT
    assert (await world.view()).totals.assets == 500_000 * UNIT
    await assert_sound(world)


async def test_everybody_leaves_even_from_the_exchange(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    shares = (await world.view()).totals.shares
    await leave(world, ann, shares)
    await settle(world, 20)
    assert await balance(world, ann) == 1_000_000 * UNIT
    v = await world.view()
    assert (v.totals.assets, v.totals.shares) == (0, 0)
    await assert_sound(world)


async def test_yield_that_no_accrual_has_seen_is_realised_by_the_exit(world: World) -> None:
    """What comes out of a venue beyond the books belongs to the holders."""
    await funded(world)
    await run(world)
    ann = await holder(world)
    aave = world.venues["aave-usdc"]
    aave.position += 100 * UNIT
    async with world.db.write() as s:
        item = await world.pool_row(s)
        leg = await legs.add(
            s, item, None, "aave-usdc", Action.EXIT, aave.position, at=world.clock.now()
        )
    await rebalance.step(world.deps)
    await world.mine()
    async with world.db.read() as s:
        assert (await legs.get(s, leg)).state == "done"
    assert aave.position == 0
    v = await world.view()
    assert v.venues["aave-usdc"] == 0
    assert v.totals.assets == 1_000_100 * UNIT
    assert await balance(world, ann) == 0
    await assert_sound(world)


async def test_failed_release_frees_the_money_and_waits(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    await leave(world, ann, 50_000 * UNIT * 10**6)
    await recall.step(world.deps)
    await world.mine(fail=True)
    assert [r.state for r in await states(world)] == ["requested"]
    assert await balance(world, ann) == 0
    await assert_sound(world)


async def withdrawal(world: World, s: WriteSession, customer: CustomerId, amount: int) -> UUID:
    """A withdrawal that waits for pooled money, as custody/withdrawals leaves it."""
    now, id_, quote = world.clock.now(), new_uuid7(), new_uuid7()
    item = await world.pool_row(s)
    hold = derived_id(id_, "shares")
    shares = (await books.totals(s, item)).shares_up(amount)
    mine = await books.share_account(s, item, customer)
    issue = await books.account(s, item, chart.pool_shares(item.id), item.share_asset)
    await post_or_raise(
        s,
        [Transfer(hold, world.tenant, mine, issue, shares, "pool.redeem", kind="pending",
                  event_at=now)],
    )  # fmt: skip
    common = {"tenant_id": world.tenant, "customer_id": customer, "chain_id": CHAIN,
              "asset_id": ASSET, "gross": amount, "network_fee": 0, "service_fee": 0,
              "net": amount, "created_at": now}  # fmt: skip
    quote_row = {"id": quote, "expires_at": now + timedelta(hours=1), **common}
    await s.execute(withdrawal_models.quotes.insert(), quote_row)
    row = {"id": id_, "quote_id": quote, "destination": addr(0xDD), "pool_id": item.id,
           "pool_amount": amount, "share_hold_id": hold, "redeemed": False,
           "state": "awaiting_liquidity", "intent_id": new_uuid7(), "initiator": "test",
           **common}  # fmt: skip
    await s.execute(withdrawal_models.withdrawals.insert(), row)
    return id_


async def test_withdrawal_waits_until_its_money_is_recalled(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    async with world.db.write() as s:
        id_ = await withdrawal(world, s, ann, 450_000 * UNIT)
    await settle(world)
    async with world.db.read() as s:
        row = await s.one("SELECT redeemed FROM withdrawals WHERE id = :id", {"id": id_})
        held = await s.scalar("SELECT sum(amount) FROM withdrawal_holds")
    assert row.redeemed
    assert held == 450_000 * UNIT
    assert world.treasury == 450_000 * UNIT
    await assert_sound(world)


async def test_money_of_a_cancelled_withdrawal_goes_back_to_the_pool(world: World) -> None:
    await funded(world)
    await run(world)
    ann = await holder(world)
    async with world.db.write() as s:
        id_ = await withdrawal(world, s, ann, 50_000 * UNIT)
    await recall.step(world.deps)
    async with world.db.write() as s:
        await s.execute("UPDATE withdrawals SET state = 'cancelled' WHERE id = :id", {"id": id_})
        hold = derived_id(id_, "shares")
        await holds.void_hold(
            s, world.tenant, hold, derived_id(id_, "v"), "x", event_at=world.clock.now()
        )
    await world.mine()
    v = await world.view()
    assert v.unfunded == 50_000 * UNIT
    assert v.totals.assets == 1_000_000 * UNIT
    assert await balance(world, ann) == 0
    await assert_sound(world)

"""Redemptions: paid from idle money, recalled where it lacks, settled once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from custody.core.db import WriteSession
from custody.core.ids import CustomerId, new_uuid7
from custody.ledger import accounts, balances, chart, holds
from custody.ledger.posting import Transfer, derived_id, post_or_raise
from custody.parties import places
from custody.settlement import intents
from custody.withdrawals import models as withdrawal_models
from router import accrual, books, legs, orders, plan, pool, rebalance, recall
from router.moves import Action
from router.shares import Totals
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, run
from tests.router.world import ASSET, CHAIN, TREASURY, World, addr

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
    now, id_, quote, held_back = world.clock.now(), new_uuid7(), new_uuid7(), new_uuid7()
    item = await world.pool_row(s)
    allocator = await places.place(s, world.tenant, CHAIN, places.ALLOCATOR)
    intent = orders.release(item, allocator, held_back, TREASURY, amount, "stands for a payout")
    await intents.create(s, intent, at=now, hold_back=True)
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
           "state": "awaiting_liquidity", "intent_id": held_back, "initiator": "test",
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


async def withdrawal_state(world: World, id_: UUID) -> str:
    async with world.db.read() as s:
        return str(await s.scalar("SELECT state FROM withdrawals WHERE id = :id", {"id": id_}))


async def test_after_a_total_loss_a_redemption_fails_and_lets_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(world)
    ann = await holder(world)
    async with world.db.write() as s:
        id_ = await withdrawal(world, s, ann, 50_000 * UNIT)

    async def nothing_left(*_: Any) -> Totals:
        return Totals(0, 1_000_000 * UNIT * 10**6)

    monkeypatch.setattr(books, "totals", nothing_left)
    await recall.step(world.deps)
    assert [r.state for r in await states(world)] == ["failed"]
    assert await withdrawal_state(world, id_) == "failed"


async def test_withdrawal_of_another_asset_than_the_pools_fails(world: World) -> None:
    await funded(world)
    ann = await holder(world)
    async with world.db.write() as s:
        wrong = await withdrawal(world, s, ann, 50_000 * UNIT)
        await s.execute(
            "UPDATE withdrawals SET asset_id = 'eip155:31337/slip44:60' WHERE id = :id",
            {"id": wrong},
        )
        right = await withdrawal(world, s, ann, 10_000 * UNIT)
    await recall.step(world.deps)
    assert await withdrawal_state(world, wrong) == "failed"
    assert await withdrawal_state(world, right) == "awaiting_liquidity"
    assert [int(r.amount) for r in await states(world)] == [10_000 * UNIT]


async def exits(world: World) -> list[str]:
    async with world.db.read() as s:
        rows = await s.all("SELECT venue_id FROM legs WHERE action = 'exit' ORDER BY id")
    return [row.venue_id for row in rows]


async def exchange_exit(world: World, amount: int) -> UUID:
    async with world.db.write() as s:
        item = await world.pool_row(s)
        now = world.clock.now()
        return await legs.add(s, item, None, "exchange-usdc", Action.EXIT, amount, at=now)


async def test_exchange_exit_is_counted_on_for_ten_minutes(world: World) -> None:
    await funded(world)
    await run(world)
    await exchange_exit(world, 200_000 * UNIT)
    await leave(world, await holder(world), 250_000 * UNIT * 10**6)
    world.advance(600)
    await recall.step(world.deps)
    assert await exits(world) == ["exchange-usdc"]
    world.advance(1)
    await recall.step(world.deps)
    assert len(await exits(world)) == 2


async def test_exchange_exit_that_failed_once_is_not_counted_on(world: World) -> None:
    await funded(world)
    await run(world)
    id_ = await exchange_exit(world, 200_000 * UNIT)
    await leave(world, await holder(world), 250_000 * UNIT * 10**6)
    async with world.db.write() as s:
        await s.execute(
            "UPDATE legs SET state = 'redeemed', order_id = :order WHERE id = :id",
            {"id": id_, "order": f"{id_.hex}x1"},
        )
    await recall.step(world.deps)
    assert len(await exits(world)) == 2


async def test_exit_that_would_revert_is_not_started_nor_planned_in_a_storm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legs, "RETRY_S", 3_600)  # however slow the machine is
    monkeypatch.setattr(plan, "READ_EVERY_S", 0)  # as on a machine that stands still
    await funded(world)
    await run(world)
    await leave(world, await holder(world), 500_000 * UNIT * 10**6)
    world.client.reverts = True
    for _ in range(4):
        await recall.step(world.deps)
        await rebalance.step(world.deps)
    assert await world.intents() == []
    asked = await exits(world)
    assert sorted(asked) == sorted(set(asked))
    async with world.db.write() as s:
        reasons = await s.all("SELECT reason FROM legs WHERE state = 'waiting'")
        assert {r.reason for r in reasons} == {"the call would revert: VenuePaused()"}
    world.client.reverts = False
    world.advance(7_200)
    await settle(world)
    assert await balance(world, await holder(world)) == 500_000 * UNIT
    await assert_sound(world)


async def test_claim_that_failed_or_would_revert_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(world)
    await run(world)

    async def ripe(*_: Any) -> bool:
        return True

    monkeypatch.setattr(rebalance, "_ripe", ripe)
    async with world.db.write() as s:
        item = await world.pool_row(s)
        id_ = await legs.add(s, item, None, "aave-usdc", Action.EXIT, UNIT, at=world.clock.now())
        await s.execute(
            "UPDATE legs SET state = 'queued', request_id = 1, claim_intent_id = :old"
            " WHERE id = :id",
            {"id": id_, "old": new_uuid7()},
        )
    assert await rebalance.claim_step(world.deps) == 0
    async with world.db.write() as s:
        await s.execute("UPDATE legs SET updated_at = updated_at - interval '60 seconds'")
    world.client.reverts = True
    assert await rebalance.claim_step(world.deps) == 0
    async with world.db.read() as reads:
        found = await legs.get(reads, id_)
    assert found.reason == "the call would revert: VenuePaused()"
    world.client.reverts = False
    assert await rebalance.claim_step(world.deps) == 1
    assert len(await world.intents()) == 1

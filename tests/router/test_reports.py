"""Reports against the real ledger: any period, sums that match the pool's, gas by reference."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custody.core.ids import TransferId, format_id, new_uuid7
from custody.core.money import native_asset
from custody.ledger import accounts, assets, chart
from custody.ledger.posting import Transfer, post_or_raise
from router import accrual, books, reports
from router.curves import RAY
from router.reports import Report
from tests.router.books_check import assert_sound
from tests.router.test_exits import DAY, HOUR, SHARES, K, liquidity, pay, short_pool
from tests.router.test_products import change, income, leave
from tests.router.test_recall import balance, settle
from tests.router.world import CHAIN, World

pytestmark = pytest.mark.postgres

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def now(world: World) -> datetime:
    """The ledger's time."""
    async with world.db.read() as s:
        found: datetime = await s.scalar("SELECT clock_timestamp()")
    return found


async def report(world: World, start: datetime, end: datetime) -> Report:
    async with world.db.snapshot() as s:
        return await reports.report(s, world.tenant, world.pool_id, start, end)


async def _grow(world: World, gain: int, seconds: int = 30 * DAY) -> None:
    world.venues["aave-usdc"].position += gain
    world.advance(seconds, 3)
    await accrual.step(world.deps)


async def test_periods_add_up_to_the_pools_own_books(world: World) -> None:
    await change(
        world, kind="fixed", maturity="2027-01-01T00:00:00Z", early_fee_bps=100,
        management_bps=50, hurdle_ray=str(RAY // 100),
    )  # fmt: skip
    ann, bob = await short_pool(world)
    first = await now(world)
    await _grow(world, 50 * K)
    await leave(world, bob, 150 * K * SHARES)
    await pay(world, HOUR)
    middle = await now(world)
    await _grow(world, -20 * K)
    liquidity(world, None)
    await settle(world)
    await _grow(world, 90 * K)
    last = await now(world) + timedelta(days=1)
    v = await world.view()
    whole = await report(world, LONG_AGO, last)
    t = whole.totals
    assert (t.opening, t.closing) == (0, v.totals.assets)
    assert t.joined == 1_000 * K
    assert t.left == await balance(world, bob)
    assert t.management == await income(world, chart.INCOME_MANAGEMENT) > 0
    assert t.spread == await income(world, chart.INCOME_SPREAD) > 0
    assert t.exit_fees == await income(world, chart.INCOME_FEES) > 0
    assert whole.income == v.spread == t.gross - t.net + t.exit_fees
    assert t.gross == 120 * K
    lines = whole.shared.lines
    assert lines[bob].exit_fees == t.exit_fees
    assert lines[ann].exit_fees == 0
    held = {h.customer_id: h.value for h in v.holdings}
    for owner in (ann, bob):
        assert 0 <= lines[owner].closing - held[owner] <= 1
    for name in ("management", "spread", "net", "gross", "closing"):
        assert sum(getattr(line, name) for line in lines.values()) == getattr(t, name)
    parts = [
        await report(world, a, b) for a, b in ((LONG_AGO, first), (first, middle), (middle, last))
    ]
    for name in ("gross", "management", "spread", "exit_fees", "joined", "left", "net"):
        assert sum(getattr(p.totals, name) for p in parts) == getattr(t, name), name
    assert parts[0].totals.closing == parts[1].totals.opening
    assert parts[1].totals.closing == parts[2].totals.opening
    await assert_sound(world)


async def test_gas_of_the_pools_own_intents_is_its_cost(world: World) -> None:
    await short_pool(world)
    async with world.db.write() as s:
        native = native_asset(CHAIN)
        await assets.register(s, native, "ETH", 18, CHAIN)
        expense = await accounts.ensure(s, world.tenant, chart.EXPENSE_GAS, native, "expense")
        payer = await accounts.ensure(
            s, world.tenant, chart.OPERATOR_EQUITY, native, "equity", may_go_negative=True
        )
        rows: list[Any] = list(await s.all("SELECT id FROM intents ORDER BY created_at"))
        assert len(rows) >= 4
        for n, id_ in enumerate([*(r.id for r in rows), new_uuid7()]):
            await post_or_raise(
                s,
                [
                    Transfer(
                        TransferId(new_uuid7()), world.tenant, expense, payer, 10**n, "gas.paid",
                        event_at=world.clock.now(), chain_id=CHAIN, block_number=1,
                        reference=format_id("intent", id_),
                    )
                ],
            )  # fmt: skip
    found = await report(world, LONG_AGO, await now(world) + timedelta(days=1))
    assert found.gas == sum(10**n for n in range(len(rows))), "not that of another's intent"
    assert found.gas_asset == native
    assert (await report(world, LONG_AGO, LONG_AGO + timedelta(days=1))).gas == 0


async def test_what_goes_beyond_the_holders_is_the_operators_loss(world: World) -> None:
    await short_pool(world)
    await _grow(world, 100 * K)
    for name in ("aave-usdc", "vault-usdc"):
        world.venues[name].position = 0
    world.earn.subscribed = 0
    async with world.db.write() as s:  # the idle part is lost as well, on paper
        item = await world.pool_row(s)
        assert await books.posted(s, item, chart.guard(item.id)) == 100 * K
    await _grow(world, 0, 60)
    found = await report(world, LONG_AGO, await now(world) + timedelta(days=1))
    assert found.totals.closing + found.income - found.losses == 100 * K
    assert found.totals.gross < 0

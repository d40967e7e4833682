"""What has to hold at the end of a month, each to the unit."""

from datetime import UTC, datetime

from custody.ledger import accounts, balances, chart
from router import books, legs, reports
from router.allocate import allocate
from router.plan_json import allocation_to_json, problem_from_json
from router.realised import REALISED_CODE
from router.reports import Report
from router.venues.factory import adapter
from tests.router.books_check import assert_sound
from tests.router.month.run import Run
from tests.router.month.script import DAY_H
from tests.router.month.world import MonthWorld

ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""The ledger's own time is the database's, which knows nothing of the chain's month."""


async def report(world: MonthWorld) -> Report:
    async with world.db.snapshot() as s:
        return await reports.report(s, world.tenant, world.pool_id, *ALWAYS)


_REALISED = "SELECT coalesce(sum(amount), 0) FROM transfers WHERE code = :code"
"""Interest of the seconds between an accrual and an exit comes home with the exit."""


async def assert_statements(run: Run) -> None:
    """Each holder's lines add up, to what he brought, was paid and has; all together are the
    pool's books, which are the chain's."""
    world, found, v = run.world, await report(run.world), await run.world.view()
    lines, held = found.shared.lines, {h.customer_id: h.value for h in v.holdings}
    assert set(lines) == {run.customers[name] for name in run.joined}
    for name, amount in run.joined.items():
        customer = run.customers[name]
        line = lines[customer]
        assert (line.opening, line.joined, line.exit_fees) == (0, amount, 0), name
        assert line.closing == amount - line.left + line.net, name
        assert line.net == line.gross - line.management - line.spread - line.excess, name
        assert 0 <= line.closing - held.get(customer, 0) <= 1, name
        code = chart.customer(customer)
        async with world.db.read() as s:
            account = await accounts.find(s, world.tenant, code, world.site.asset_id)
        assert account is not None
        assert balances.balance_of(account).posted == line.left, name
    total = found.totals
    for part in ("joined", "left", "net", "gross", "spread"):
        rest = total.closing - sum(x.closing for x in lines.values()) if part in _YIELD else 0
        assert sum(getattr(x, part) for x in lines.values()) + rest == getattr(total, part), part
    assert total.closing == v.totals.assets
    assert total.spread + total.management + total.excess == v.spread
    async with world.db.read() as s:
        accrued = await s.scalar("SELECT sum(gross) FROM accruals")
        realised = await s.scalar(_REALISED, {"code": REALISED_CODE})
    assert int(accrued) + int(realised) == total.gross


_YIELD = ("net", "gross")
"""What was earned while nobody had shares is the pool's and of no line."""


async def assert_chain_has_it(world: MonthWorld) -> None:
    """At the block of the newest accrual every venue is worth what the books say."""
    async with world.db.read() as s:
        item = await books.pool(s, world.tenant, world.pool_id)
        rows = await books.venues(s, world.pool_id)
        number = await s.scalar("SELECT max(block_number) FROM accruals")
        posted = {row.id: await books.posted(s, item, books.venue_code(row)) for row in rows}
    block = await world.evm.block(number)
    there = {row.id: await adapter(world.deps, item, row).value(block) for row in rows}
    assert posted == there
    assert (await world.view()).idle == await world.guard_idle()
    await assert_sound(world)


async def assert_plans_again(world: MonthWorld) -> int:
    """Every stored plan, solved from its stored input alone; how many there are."""
    async with world.db.read() as s:
        rows = await s.all("SELECT id, input, output FROM plans ORDER BY id")
    for row in rows:
        assert allocation_to_json(allocate(problem_from_json(row.input))) == row.output, row.id
    return len(rows)


async def assert_not_entered(run: Run) -> None:
    """Between drain and recovery: no entry, though the drained venue paid more than any other."""
    venue, first, after = run.script.drained
    begin, end = (run.clock_at[h] for h in (first, after))
    async with run.world.db.read() as s:
        entered = await s.all(
            "SELECT id, created_at, state FROM legs WHERE venue_id = :venue AND action = 'enter'"
            " AND created_at >= :begin AND created_at < :end AND state <> 'cancelled'",
            {"venue": venue, "begin": begin, "end": end},
        )
        rates = await s.all(
            "SELECT venue_id, max(apr_ray) AS best FROM rate_reads"
            " WHERE at >= :begin AND at < :end GROUP BY venue_id",
            {"begin": begin, "end": end},
        )
    assert entered == []
    best = max(rates, key=lambda row: row.best)
    assert best.venue_id == venue, "no temptation: the rate did not spike"
    assert len(run.held_drained) >= 1 + (after - first) // DAY_H
    assert run.held_drained == sorted(run.held_drained, reverse=True), "the guard holds more of it"


async def assert_nothing_left(world: MonthWorld) -> None:
    """Nobody waits, nothing is on its way, nothing is barred, and nobody has a share."""
    assert await world.intents() == []
    async with world.db.read() as s:
        assert await legs.unfinished(s, world.pool_id) == []
        for table, over in (
            ("redemptions", "settled"), ("pool_fundings", "funded"), ("plans", "done"),
            ("venue_flags", "cleared"), ("venue_halts", "over"),
        ):  # fmt: skip
            states = await s.all(f"SELECT DISTINCT state FROM {table}")
            assert {row.state for row in states} <= {over}, table
    assert (await world.view()).totals.shares == 0


async def lost(world: MonthWorld) -> int:
    """Losses that were booked, in base units."""
    async with world.db.read() as s:
        found = await s.scalar("SELECT sum(amount) FROM transfers WHERE code = 'yield.lost'")
    return int(found or 0)

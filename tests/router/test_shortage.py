"""How much a recall asks for: all that lacks, no crumb beside what comes, never below a ticket."""

import pytest

from router import books, legs, pool, recall
from router.moves import Action
from tests.router.pool_world import UNIT
from tests.router.test_rebalance import funded, run
from tests.router.test_recall import holder, withdrawal
from tests.router.world import World

pytestmark = pytest.mark.postgres

IDLE = 100_000 * UNIT
"""Of the million, by the policy's buffer; a ticket is one UNIT."""
AAVE = "aave-usdc"


async def begun(world: World, *claims: int, exact: bool = False, coming: int = 0) -> None:
    """Claims of these amounts, and an exit of `coming` in a venue's queue."""
    await funded(world)
    await run(world)
    ann = await holder(world)
    async with world.db.write() as s:
        item, at = await world.pool_row(s), world.clock.now()
        for claim in claims:
            if exact:
                await withdrawal(world, s, ann, claim)
            else:
                shares = (await books.totals(s, item)).shares_up(claim)
                await pool.leave(s, world.tenant, world.pool_id, ann, shares, at=at)
        if coming:
            await legs.add(s, item, None, AAVE, Action.EXIT, coming, at=at)
            await s.execute("UPDATE legs SET state = 'queued' WHERE action = 'exit'")


async def recalled(world: World) -> list[int]:
    await recall.step(world.deps)
    async with world.db.read() as s:
        rows = await s.all("SELECT amount FROM legs WHERE state = 'planned' AND action = 'exit'")
    return [int(row.amount) for row in rows]


@pytest.mark.parametrize(
    ("lacks", "asked"),
    [(1, []), (UNIT - 1, []), (UNIT, [UNIT]), (5 * UNIT, [5 * UNIT])],
)
async def test_a_crumb_waits_for_what_comes(world: World, lacks: int, asked: list[int]) -> None:
    await begun(world, IDLE + 50_000 * UNIT, coming=50_000 * UNIT - lacks)
    assert await recalled(world) == asked


async def test_what_is_much_of_a_small_claim_is_no_crumb(world: World) -> None:
    """And what is asked for is a ticket."""
    await begun(world, IDLE + 50_000 * UNIT, 100 * UNIT, coming=50_100 * UNIT - UNIT // 2)
    assert await recalled(world) == [UNIT]


async def test_an_exact_amount_lacks_nothing(world: World) -> None:
    """It is paid only whole: a unit that lacks would hold up all of it."""
    await begun(world, IDLE + 50_000 * UNIT, exact=True, coming=50_000 * UNIT - 1)
    assert await recalled(world) == [UNIT]


async def test_where_nothing_comes_the_least_is_asked_for(world: World) -> None:
    await begun(world, IDLE + 1)
    assert await recalled(world) == [UNIT]


async def test_a_venue_with_less_than_a_ticket_gives_what_it_has(world: World) -> None:
    await begun(world, IDLE + 1)
    for venue in world.venues.values():
        venue.withdrawable = 7
    assert await recalled(world) == [7]

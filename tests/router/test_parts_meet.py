"""Where parts meet that were made apart: exits that wait, plans, recalls, accrual, the forecast."""

import pytest

from router import accrual, rebalance
from router.states import LegState
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_venue_exits import AAVE, ask, exits_of, settled
from tests.router.world import World

pytestmark = pytest.mark.postgres


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

"""The router left running through a month in which what can happen to its venues does happen.

Rates move, a market is paused and frozen, one is drained and its rate spikes, a loan is never paid
back, validators are slashed, holders come and go. `scripts/test --deep` draws twenty such months.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from chains.devnet.world import DevnetChain
from custody.core.db import Database
from tests.router.chain_world import ETHER
from tests.router.month import checks, figures, others
from tests.router.month.figures import Figures
from tests.router.month.run import Run
from tests.router.month.script import draw
from tests.router.month.world import MonthWorld

pytestmark = [pytest.mark.chain, pytest.mark.timeout(600)]

DEEP = bool(os.environ.get("MOORAGE_DEEP"))
FIRST = int(os.environ.get("MOORAGE_SEED", "1")) * 1_000 if DEEP else 1_000
"""One month that is always the same; other months are drawn by `--deep`, since what a month earns
against others is known of twenty months and not of all."""
SEEDS = range(FIRST, FIRST + (20 if DEEP else 1))
WEI_A_UNIT = 10**8
"""The month's holders bring some hundreds of ether each to the staking pool."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_lending_pool_through_a_month(
    database: Database,
    afresh: Callable[[], DevnetChain],
    places: dict[str, str],
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Holders reconcile to the unit, the drained venue is not entered, plans can be solved again,
    everybody can leave; and what it earned, against the same money elsewhere."""
    script = draw(seed)
    alone = others.singles(afresh(), script)
    chasing = await others.greedy(afresh(), script)
    world = MonthWorld.lending(database, afresh(), places)
    run = Run(world, script, script.holders)
    await run.begin()
    await run.month()
    await checks.assert_chain_has_it(world)
    await checks.assert_statements(run)
    await checks.assert_not_entered(run)
    earned, lost = (await checks.report(world)).totals, await checks.lost(world)
    await run.everybody_leaves()
    assert await checks.assert_plans_again(world) > 0
    await checks.assert_statements(run)
    await checks.assert_nothing_left(world)
    await world.close()
    month = Figures(
        script, earned.net, earned.gross, lost, world.gas, world.sent, alone, chasing
    ).to_json()
    figures.assert_worth_it(month)
    record_property("month", month)


@pytest.mark.deep
@pytest.mark.parametrize("seed", SEEDS[:4])
async def test_staking_pool_through_a_month_with_a_slashing(
    database: Database, afresh: Callable[[], DevnetChain], places: dict[str, str], seed: int
) -> None:
    """One venue that pays the same to all: there is nothing to compare, but the loss is borne by
    those who were there, and everybody can leave."""
    script = draw(seed)
    world = MonthWorld.staking(database, afresh(), places)
    holders = tuple(replace(h, amount=h.amount * WEI_A_UNIT) for h in script.holders)
    run = Run(world, script, holders)
    await run.begin()
    await world.customer("nobody", ETHER)  # the treasury pays its gas out of what lies in it
    await run.month()
    assert await checks.lost(world) > 0
    await checks.assert_chain_has_it(world)
    await checks.assert_statements(run)
    await run.everybody_leaves()
    world.warp(2 * 86_400)
    await run.settle()
    assert await checks.assert_plans_again(world) > 0
    await checks.assert_statements(run)
    # What a request in the queue earned until it was final is asked for by another: crumbs.
    assert (await world.view()).totals.assets < sum(h.amount for h in holders) // 10**6
    await world.close()

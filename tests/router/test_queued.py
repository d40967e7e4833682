"""A queued exit is no longer stuck to a plan: it is home when its queue says so."""

import pytest

from chains.devnet.world import DevnetChain
from chains.evm.contracts.staking import ExitRequest
from custody.core.db import Database
from router import legs, plan
from router.moves import Action
from router.queued import Coming, of_requests
from tests.router.books_check import assert_sound
from tests.router.chain_world import ETHER, ChainWorld, eth_site, places_of
from tests.router.risk.documents import GOOD
from tests.router.test_lending_journey import PAYEE
from tests.router.test_risk_plan import governed

DAY, HOUR = 86_400, 3_600
NOW = 1_000_000


def request(age_s: int, *, finalized: bool = False, claimed: bool = False) -> ExitRequest:
    return ExitRequest(1, 5, "0x", NOW - age_s, finalized, claimed)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("made", "left"),
    [
        (request(0), (Coming(DAY, 5),)),
        (request(DAY - 1), (Coming(1, 5),)),
        (request(DAY), ()),  # overdue: it does not move
        (request(5 * DAY, finalized=True), (Coming(0, 5),)),
        (request(DAY, finalized=True, claimed=True), ()),
    ],
)
def test_what_a_queue_still_has(made: ExitRequest, left: tuple[Coming, ...]) -> None:
    assert of_requests([made], DAY, NOW) == left


@pytest.mark.chain
async def test_a_plan_counts_a_queued_exit_by_its_remaining_time(
    database: Database, chain: DevnetChain
) -> None:
    """30 of 90 staked wait: a rung of an hour less than the queue has left does not see them."""
    world = ChainWorld(database, chain, eth_site(chain, places_of(chain, PAYEE)), {})
    await world.set_up()
    ladder = [{"horizon_s": h * HOUR, "share_min": "0.1"} for h in (5, 23, 24)]
    rule = {
        **GOOD["rebalance"], "ticket": str(ETHER // 100), "min_gain": "1", "gas_max": None,
        "turnover_share_max": None, "slippage_max_bps": None,
    }  # fmt: skip
    await governed(
        world, groups=[], rebalance=rule, liquidity={"quantile": "0.99", "ladder": ladder}
    )
    ann = await world.customer("ann", 100 * ETHER)
    await world.customer("bob", ETHER)
    await world.join(ann, 100 * ETHER)
    await world.run(4)
    assert (await world.view()).venues["staking-eth"] == 90 * ETHER
    async with world.db.write() as s:
        item, at = await world.pool_row(s), world.clock.now()
        await legs.add(s, item, None, "staking-eth", Action.EXIT, 30 * ETHER, at=at)
    await world.run(1)

    async def caps(hours: int) -> dict[str, int]:
        if hours:
            world.warp(hours * HOUR)
        made = await plan.draft(world.deps, world.tenant, world.pool_id)
        [venue] = made.problem.venues
        assert (venue.capacity, venue.refusal) == (0, "")
        assert abs(venue.position - venue.withdrawable - 30 * ETHER) <= 2
        return {g.name: (g.cap + ETHER // 2) // ETHER for g in made.problem.groups}

    assert await caps(0) == {f"liquidity:{5 * HOUR}": 90, f"liquidity:{23 * HOUR}": 90}
    assert await caps(2) == {f"liquidity:{5 * HOUR}": 90}, "by 23 hours what waits is home"
    world.warp(24 * HOUR)
    await world.run(3)
    async with world.db.read() as r:
        done = await r.scalar("SELECT state FROM legs WHERE action = 'exit'")
    assert done == "done"
    await assert_sound(world)
    await world.close()

"""A policy of the second schema from the books to a stored plan that an auditor solves again."""

from typing import Any

import pytest

from api.routes import risk_limits
from api.routes.risk_limits import LimitsView
from router import plan, policies, reading, rebalance
from router.allocate import allocate
from router.curves import RAY
from router.plan_json import allocation_to_json, problem_from_json
from router.stated_curves import Flat
from router.tiers import WAD
from tests.router.pool_world import UNIT, PoolWorld
from tests.router.risk.documents import GOOD, venue
from tests.router.test_rebalance import funded, run
from tests.router.world import World

pytestmark = pytest.mark.postgres


async def governed(world: PoolWorld, rules: dict[str, Any] | None = None, **changes: Any) -> None:
    """Load the world's policy again as one of the second schema."""
    first = world.risk_policy()
    body = {
        **GOOD, "pool": first["pool"], "version": 2, "tiers": first["tiers"],
        "venues": [
            venue(v["id"], rules, kind=v["id"].split("-")[0]) | {"cap": v["cap"]}
            for v in first["venues"]
        ],
        "groups": [{"by": "kind", "value": "*", "cap": None, "share_max": "0.5"}],
        "lockups": [], "stress": {"freezes_s": [], "depegs": []},
        "liquidity": {"quantile": "0.99", "ladder": []},
        "rebalance": {
            **GOOD["rebalance"], **first["rebalance"], "turnover_share_max": None,
            "gas_max": None, "slippage_max_bps": None,
        },
    } | changes  # fmt: skip
    async with world.db.write() as s:
        last = await policies.current(s, world.pool_id)
        assert last is not None
        body["previous"] = last.hash
        at = world.clock.now()
        await policies.load(s, world.tenant, world.pool_id, body, loaded_by="t", at=at)


async def test_a_stored_plan_has_the_limits_and_is_solved_again(world: World) -> None:
    await governed(world)
    await funded(world)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    async with world.db.read() as s:
        [row] = await plan.listing(s, world.tenant, world.pool_id, None, 10)
    problem = problem_from_json(row.input)
    half = 500_000 * 10**6
    assert {g.name: (set(g.venues), g.cap) for g in problem.groups} == {
        "kind:aave": ({"aave-usdc"}, half),
        "kind:vault": ({"vault-usdc"}, half),
        "kind:exchange": ({"exchange-usdc"}, half),
    }
    assert allocation_to_json(allocate(problem)) == row.output


async def test_what_will_leave_by_a_horizon_becomes_a_limit(world: World) -> None:
    """The fake venues do not say how long an exit takes: none of their money is home by then."""
    rung = {"horizon_s": 3600, "share_min": "0.2"}
    await governed(world, liquidity={"quantile": "0.99", "ladder": [rung]}, groups=[])
    await funded(world)
    async with world.db.read() as s:
        snap = await reading.snapshot(s, world.tenant, world.pool_id, world.clock.now())
    block = await reading.confirmed_block(world.deps, world.site.chain_id)
    states = await reading.read_venues(world.deps, snap.pool, snap.venues, block)
    total = 1_000_000 * 10**6
    for needs, cap in (({}, total * 8 // 10), ({3600: total // 2}, total // 2)):
        [group] = reading.problem_of(snap, states, needs).groups
        assert (group.name, len(group.venues), group.cap) == ("liquidity:3600", 3, cap)


async def test_a_fact_that_a_rule_needs_and_nobody_says_keeps_money_out(world: World) -> None:
    await governed(world, {"supply_share_max": "0.5"})
    await funded(world)
    made = await plan.draft(world.deps, world.tenant, world.pool_id)
    assert {v.refusal for v in made.problem.venues} == {"nobody says how much lies there"}
    assert set(made.answer.targets.values()) == {0}
    assert made.snapshot.policy.limits.buffer_share_wad == WAD // 10


async def test_what_cannot_hold_is_told_with_its_smallest_step(world: World) -> None:
    """The whole of a venue is frozen, and by a new version it should hold less."""
    await funded(world)
    await run(world)
    await governed(world, groups=[{"by": "kind", "value": "aave", "cap": "7", "share_max": None}])
    world.venues["aave-usdc"].withdrawable = 1
    found = risk_limits.view("poo_x", await reading.read(world.deps, world.tenant, world.pool_id))
    LimitsView.model_validate(found)
    held = world.venues["aave-usdc"].position
    assert (found["holds"], found["enough_to_relax"]) == (False, "group:kind:aave")
    assert found["cannot_hold"] == [
        {"limit": "group:kind:aave", "short": str(held - 1 - 7), "value": str(held - 1)}
    ]
    use = {x["limit"]: (x["amount"], x["held"]) for x in found["limits"]}
    assert use["group:kind:aave"] == ("7", str(held))


async def test_an_incredible_rate_keeps_money_out(world: World) -> None:
    """Property 56: a rate that jumped is not followed."""
    await governed(world, {"rate_max": "0.05"})
    await funded(world)
    made = await plan.draft(world.deps, world.tenant, world.pool_id)
    refused = {v.id: v.refusal for v in made.problem.venues}
    assert refused["vault-usdc"] == ""
    assert refused["exchange-usdc"] == "the rate is above what is credible"
    assert made.answer.targets["exchange-usdc"] == 0


async def test_one_answer_that_does_not_come_pulls_no_money_out_of_the_others(
    world: World,
) -> None:
    """A ladder counts a silent venue as not home: for ten minutes its answer is waited for."""
    await governed(world)
    await funded(world)
    await run(world)
    async with world.db.read() as s:
        before = len(await plan.listing(s, world.tenant, world.pool_id, None, 50))
    ladder = [{"horizon_s": 86_400, "share_min": "0.3"}]
    await governed(world, version=3, liquidity={"quantile": "0.99", "ladder": ladder})
    world.venues["vault-usdc"].broken = True
    for seconds, more in ((60, False), (700, True)):
        world.advance(seconds, 2)
        await rebalance.step(world.deps)
        async with world.db.read() as s:
            made = await plan.listing(s, world.tenant, world.pool_id, None, 50)
        assert (len(made) > before) is more


async def test_the_guards_bounds_are_the_policys(world: World) -> None:
    """A rate that has fallen by an hundredth since the plan, and liquidity that is covered once."""
    await governed(world, groups=[], guard={"rate_moved_max_bps": 50, "cover_min": "3"})
    world.venues["aave-usdc"].shared = 600_000 * UNIT
    await funded(world)
    world.advance(2, 2)
    await rebalance.step(world.deps)
    world.venues["vault-usdc"].curve = Flat(396 * RAY // 10_000)
    await rebalance.step(world.deps)
    async with world.db.read() as s:
        [row] = await plan.listing(s, world.tenant, world.pool_id, None, 10)
        _, found = await plan.get(s, world.tenant, row.id)
    by_venue = {leg.venue_id: leg for leg in found}
    assert by_venue["aave-usdc"].amount == 198_000 * UNIT, "a third, and a hundredth less"
    assert by_venue["vault-usdc"].code == "rate-moved"

"""Caps held against an entry by the books of its moment, not of its plan's."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import fitting, legs, rebalance
from router.curves import RAY
from router.problem import Group
from router.stated_curves import FixedPot, Flat
from router.states import LegState
from router.tiers import WAD, Limits, Tier, VenueLimit
from tests.router.books_check import assert_sound
from tests.router.pool_world import UNIT
from tests.router.test_allocate import flat, problem
from tests.router.test_costs import last
from tests.router.test_rebalance import funded, run
from tests.router.test_risk_plan import governed
from tests.router.world import PERCENT, World

AAVE, VAULT = "aave-usdc", "vault-usdc"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "room", "limit"),
    [
        ({}, 600, "liquidity_buffer"),
        ({"reserved": 100}, 500, "liquidity_buffer"),
        ({"groups": (Group("g", frozenset("ab"), 400),)}, 100, "group:g"),
        ({"groups": (Group("g", frozenset("bc"), 400), Group("h", frozenset("a"), 90))}, -10,
         "group:h"),
        ({"limits": Limits(WAD // 10, dict.fromkeys(Tier, WAD), {
            "a": VenueLimit(150, WAD), "b": VenueLimit(10**9, WAD), "c": VenueLimit(0, 0)})},
         50, "venue:cap"),
        ({"limits": Limits(0, dict.fromkeys(Tier, WAD // 4), {
            v: VenueLimit(10**9, WAD) for v in "abc"})}, -75, "tier:cash"),
    ],
)  # fmt: skip
def test_room_by_what_is_held_now(changes: dict[str, Any], room: int, limit: str) -> None:
    p = problem(flat("a", 5, 100), flat("b", 5, 200), flat("c", 5), idle=600)
    p = replace(p, **changes)
    assert fitting.room_of(p, "a") == (room, limit)


@pytest.mark.unit
@given(
    st.lists(st.integers(0, 1_000), min_size=3, max_size=3), st.integers(0, 2_000),
    st.integers(0, 3_000), st.integers(0, 3_000), st.integers(0, 500),
)  # fmt: skip
def test_what_fits_breaks_no_group(
    held: list[int], idle: int, one: int, other: int, reserved: int
) -> None:
    venues = [flat(i, 5, x) for i, x in zip("abc", held, strict=True)]
    groups = (Group("g", frozenset("ab"), one), Group("h", frozenset("bc"), other))
    p = replace(problem(*venues, idle=idle, reserved=reserved), groups=groups)
    room, _ = fitting.room_of(p, "b")
    b = held[1] + room
    assert b + held[0] <= one
    assert b + held[2] <= other
    total = max(idle + sum(held) - reserved, 0)
    assert room == min(one - held[0], other - held[2], total - held[0] - held[2]) - held[1]


@pytest.fixture
async def grouped(world: World) -> World:
    """All venues' coins are of one issuer, who may stand behind half of the pool. Aave is full."""
    half = {"by": "issuer", "value": "*", "cap": None, "share_max": "0.5"}
    await governed(world, groups=[half])
    world.earn.refuses = set()
    world.venues["exchange-usdc"].broken = True
    world.venues[VAULT].curve = Flat(2 * PERCENT)
    await funded(world)
    await run(world)
    assert world.venues[AAVE].position == 500_000 * UNIT
    return world


async def better_elsewhere(world: World) -> None:
    """The vault pays more now, aave less: the plan moves from one to the other."""
    world.venues[AAVE].curve = FixedPot(40_000 * UNIT * RAY, 1_000_000 * UNIT)
    world.venues[VAULT].curve = Flat(29 * PERCENT // 10)
    world.advance(20, 2)
    await rebalance.step(world.deps)


@pytest.mark.postgres
async def test_an_entry_whose_exit_waits_would_break_the_group_and_is_not_made(
    grouped: World,
) -> None:
    await better_elsewhere(grouped)
    assert (await last(grouped, AAVE)).action.value == "exit"
    grouped.venues[AAVE].liquidity = 0
    await run(grouped, 2)
    assert (await last(grouped, AAVE)).state is LegState.WAITING
    entry = await last(grouped)
    assert (entry.state, entry.code) == (LegState.CANCELLED, "over-limit")
    assert entry.reason is not None
    assert entry.reason.startswith("group:issuer:circle leaves room for 0 now")
    assert grouped.venues[VAULT].position == 0
    await assert_sound(grouped)


@pytest.mark.postgres
async def test_an_entry_takes_the_room_that_there_is(grouped: World) -> None:
    """The exit brings out a part, the entry takes as much."""
    await better_elsewhere(grouped)
    planned = (await last(grouped)).amount
    grouped.venues[AAVE].liquidity = grouped.venues[AAVE].withdrawable = 50_000 * UNIT
    await run(grouped, 2)
    assert planned > 50_000 * UNIT
    assert grouped.venues[VAULT].position == 50_000 * UNIT
    total = grouped.venues[VAULT].position + grouped.venues[AAVE].position
    assert total == 500_000 * UNIT
    await assert_sound(grouped)


@pytest.mark.postgres
async def test_caps_of_the_first_schema_too(world: World) -> None:
    """A leg that is as large as its tier, after somebody else's money left the pool's idle."""
    await funded(world)
    await rebalance.step(world.deps)
    leg = await last(world)
    assert leg.amount == 400_000 * UNIT
    async with world.db.write() as s:
        await s.execute("UPDATE legs SET amount = 500000000000 WHERE id = :id", {"id": leg.id})
        await s.execute(
            "UPDATE legs SET state = 'cancelled' WHERE id <> :id AND state = 'planned'",
            {"id": leg.id},
        )
    await rebalance.step(world.deps)
    async with world.db.read() as s:
        assert (await legs.get(s, leg.id)).amount == 400_000 * UNIT

"""Ceilings on what a move costs: rounding, prices, and what a dear exit may still do."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core.money import AssetId
from custody.core.prices import Price, ReferencePrice
from router.allocate import allocate
from router.cost_rules import (
    GasPrice,
    Simulated,
    VenueCosts,
    costed,
    forecast_wei,
    gas_objection,
    shares_slack_bps,
    slippage_objection,
)
from router.moves import Action
from router.objections import Code, Objection
from router.plan_json import allocation_to_json, problem_from_json, problem_to_json
from router.policy import RebalanceRule
from router.problem import Group
from tests.router.test_allocate import flat, move_of, problem

pytestmark = pytest.mark.unit

RULE = RebalanceRule(horizon_s=1, min_gain=0, ticket=1, cooldown_s=0)
GWEI = 10**9
DEAR = Objection(Code.GAS, "gas is dear")


def price(low: int, high: int, scale: int, currency: str = "USD") -> ReferencePrice:
    now, asset = datetime(2026, 1, 1, tzinfo=UTC), AssetId("eip155:1/slip44:60")
    one, other = (
        Price(asset, currency, v, scale, s, now, None) for v, s in ((high, "a"), (low, "b"))
    )
    return ReferencePrice(one, other)


def gas(wei: int = 20 * GWEI, coin: int = 3_000, asset: int = 1) -> GasPrice:
    """A coin of 18 decimals against an asset of 6, in whole dollars each."""
    return GasPrice(wei, False, price(coin, coin, 18), price(asset, asset, 6))


@pytest.mark.parametrize(
    ("made", "units", "cost"),
    [
        (gas(), 500_000, 30_000_000),  # 0.01 ether at 3,000
        (gas(wei=1), 1, 1),  # rounded up
        (gas(wei=0), 500_000, 0),
        (GasPrice(20 * GWEI, native=True), 500_000, 10**16),
        (GasPrice(1, False, price(2_990, 3_010, 18), price(99, 101, 8)), 10**18, 3_040_404_041),
        (GasPrice(1, False, None, price(1, 1, 6)), 1, None),
        (GasPrice(1, False, price(1, 1, 18), None), 1, None),
        (GasPrice(1, False, price(1, 1, 18, "EUR"), price(1, 1, 6)), 1, None),
    ],
)
def test_what_gas_costs(made: GasPrice, units: int, cost: int | None) -> None:
    assert made.cost_up(units) == cost


@given(
    st.integers(0, 10**7), st.integers(0, 10**13), st.integers(1, 10**12), st.integers(1, 10**12),
    st.integers(0, 30), st.integers(0, 30),
)  # fmt: skip
def test_the_cost_is_the_least_whole_number_that_covers_it(
    units: int, wei: int, coin: int, asset: int, scale: int, other: int
) -> None:
    made = GasPrice(wei, False, price(coin, coin, scale), price(asset, asset, other))
    exact = Fraction(units * wei * coin, 10**scale) / Fraction(asset, 10**other)
    cost = made.cost_up(units)
    assert cost is not None
    assert cost - 1 < exact <= cost


def test_the_forecast_is_the_next_blocks_dearest_and_the_tip() -> None:
    assert forecast_wei(2 * 80 + 3, 3) == 93
    assert forecast_wei(5, 9) == 9


@pytest.mark.parametrize(
    ("ceiling", "refused"), [(None, False), (30_000_000, False), (29_999_999, True), (0, True)]
)
def test_gas_ceiling(ceiling: int | None, refused: bool) -> None:
    found = gas_objection(gas(), 500_000, replace(RULE, gas_max=ceiling))
    assert (found is not None) is refused


def test_gas_that_cannot_be_priced_is_over_any_ceiling() -> None:
    unknown = GasPrice(0, False)
    assert gas_objection(unknown, 1, replace(RULE, gas_max=10**30)) is not None
    assert gas_objection(unknown, 1, RULE) is None


@pytest.mark.parametrize(
    ("lost", "amount", "bps", "refused"),
    [
        (10, 10_000, 10, False),
        (11, 10_000, 10, True),
        (11, 10_000, None, False),
        (2, 1, 0, False),  # a rounding
        (3, 10**9, 0, True),
        (-50, 10_000, 0, False),  # it has more than before
    ],
)
def test_slippage(lost: int, amount: int, bps: int | None, refused: bool) -> None:
    found = slippage_objection(lost, amount, replace(RULE, slippage_max_bps=bps))
    assert (found is not None) is refused


def test_what_is_lost_is_of_guard_and_venue_together() -> None:
    assert Simulated(1_000, 900, 50, 149).lost == 1
    assert Simulated(900, 1_000, 150, 50).lost == 0
    assert Simulated(0, 98, 200, 100).lost == 2


@pytest.mark.parametrize(("bps", "slack"), [(None, 10), (30, 10), (10, 10), (4, 4), (0, 1)])
def test_shares_slack(bps: int | None, slack: int) -> None:
    assert shares_slack_bps(replace(RULE, slippage_max_bps=bps), 10) == slack


def test_a_dear_entry_is_not_planned_and_says_why() -> None:
    p = problem(costed(flat("a", 5), VenueCosts(no_entry=DEAR)), flat("b", 3))
    answer = allocate(p)
    assert dict(answer.targets) == {"a": 0, "b": 1_000}
    [move, _] = answer.moves
    assert (move.code, move.reason) == ("hold:entry-refused", "no entry: gas is dear")


def test_a_dear_exit_is_not_planned_and_says_why() -> None:
    p = problem(costed(flat("a", 2, 500), VenueCosts(no_exit=DEAR)), flat("b", 9), idle=100)
    answer = allocate(p)
    assert dict(answer.targets) == {"a": 500, "b": 100}
    [move, _] = answer.moves
    assert (move.code, move.reason) == ("hold:exit-refused", "no exit: gas is dear")
    again = problem_from_json(problem_to_json(p))
    assert again == p
    assert allocation_to_json(allocate(again)) == allocation_to_json(answer)


def test_what_a_limit_demands_leaves_at_any_price() -> None:
    """The group of both is over by 200: so much may leave, whatever it costs."""
    dear = [costed(flat(i, r, 500), VenueCosts(no_exit=DEAR)) for i, r in (("a", 2), ("b", 3))]
    p = replace(problem(*dear, flat("c", 9), idle=0), groups=(Group("g", frozenset("ab"), 800),))
    answer = allocate(p)
    assert dict(answer.targets) == {"a": 300, "b": 500, "c": 200}
    assert move_of(answer, "a") == (Action.EXIT, 200, "exit:over-limit")


def test_a_venue_that_something_speaks_against_is_left_at_any_price() -> None:
    doubtful = costed(flat("a", 2, 500, refusal="frozen"), VenueCosts(no_exit=DEAR))
    assert doubtful.exit_dear == ""
    assert allocate(problem(doubtful, flat("b", 9), idle=0)).targets["a"] == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1_000), st.booleans()), min_size=1,
             max_size=4),
    st.integers(0, 3_000), st.integers(0, 1_500), st.integers(0, 400), st.integers(1, 50),
)  # fmt: skip
def test_dear_exits_leave_no_more_than_the_limits_demand(
    rows: list[tuple[int, int, bool]], cap: int, reserved: int, idle: int, ticket: int
) -> None:
    """And the limits hold as well as they would if exits cost nothing, up to a ticket each."""
    venues = [
        costed(flat(str(i), r, x), VenueCosts(no_exit=DEAR if dear else None))
        for i, (r, x, dear) in enumerate(rows)
    ]
    inside = frozenset(v.id for v in venues[::2])
    p = problem(*venues, idle=idle, reserved=reserved, ticket=ticket)
    p = replace(p, groups=(Group("g", inside, cap),))
    answer, held = allocate(p), sum(v.position for v in venues)
    most = max(idle + held - reserved, 0)
    over = max(held - most, 0)
    over_group = max(sum(v.position for v in venues if v.id in inside) - cap, 0)
    left = sum(v.position - answer.targets[v.id] for v in venues if v.exit_dear)
    assert left <= (over + ticket if over else 0) + (over_group + ticket if over_group else 0)
    free = allocate(replace(p, venues=tuple(replace(v, exit_dear="") for v in venues)))
    for group, limit in ((inside, cap), (frozenset(v.id for v in venues), most)):
        kept = sum(answer.targets[i] for i in group)
        assert kept <= max(limit, sum(free.targets[i] for i in group)) + ticket * len(venues)

"""What cannot hold, and the smallest step: the relaxed problem holds, one unit less does not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.feasible import feasibility, relaxed
from router.levers import BUFFER, Unit, bounds, value_for, with_value
from router.limits import total_of
from router.problem import AllocationInput, Group, VenueInput
from router.stated_curves import Flat
from router.tiers import WAD, Limits, Tier, VenueLimit
from tests.router.risk.worlds import RULE, Market, markets

pytestmark = pytest.mark.unit


def problem(*groups: Group, stuck: int = 400, **changes: Any) -> AllocationInput:
    """1,000 in all, of which 600 lie at `a`: what is `stuck` of it cannot leave."""
    venue = VenueInput("a", Tier.CASH, Flat(0), 600, 600 - stuck)
    other = VenueInput("b", Tier.BONDS, Flat(0), 0, 0)
    limits = Limits(0, {Tier.CASH: WAD, Tier.BONDS: WAD}, {
        "a": VenueLimit(10**30, WAD), "b": VenueLimit(10**30, WAD)})  # fmt: skip
    return replace(AllocationInput(400, 0, (venue, other), limits, RULE, groups), **changes)


def found(asked: AllocationInput) -> dict[str, tuple[int, int | None]]:
    return {b.bound.name: (b.short, b.value) for b in feasibility(asked).broken}


AB = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (problem(), {}),
        (problem(Group("issuer:x", AB, 400)), {}),
        (problem(Group("issuer:x", AB, 399)), {"group:issuer:x": (1, 400)}),
        (problem(Group("liquidity:5", AB, -1)), {"group:liquidity:5": (401, 400)}),
        (problem(limits=Limits(7 * WAD // 10, {Tier.CASH: WAD}, problem().limits.venues)),
         {BUFFER: (100, 6 * WAD // 10)}),
        (problem(limits=Limits(0, {Tier.CASH: WAD // 3, Tier.BONDS: 0}, problem().limits.venues)),
         {"tier:cash": (67, 4 * WAD // 10)}),
        (problem(limits=replace(problem().limits, venues={
            "a": VenueLimit(1, WAD // 10), "b": VenueLimit(0, 0)})),
         {"venue:a:cap": (399, 400), "venue:a:share_max": (300, 4 * WAD // 10)}),
    ],
)  # fmt: skip
def test_table(asked: AllocationInput, wanted: dict[str, tuple[int, int | None]]) -> None:
    assert found(asked) == wanted
    assert feasibility(relaxed(asked, feasibility(asked))).holds


def test_a_venues_own_rule_is_named() -> None:
    asked = problem()
    first = replace(asked.venues[0], amount_max=100, limit="supply_share_max")
    asked = replace(asked, venues=(first, asked.venues[1]))
    assert found(asked) == {"venue:a:supply_share_max": (300, 400)}


def test_one_number_may_stand_behind_many() -> None:
    asked = problem(
        Group("liquidity:432000", AB, 300),
        Group("freeze:a:432000", frozenset({"a"}), 350),
        Group("freeze:b:432000", AB, 300),
    )
    answer = feasibility(asked)
    assert answer.causes == (("need:432000", 100),)
    assert answer.alone == "need:432000"
    both = feasibility(replace(asked, groups=(*asked.groups, Group("issuer:x", AB, 10))))
    assert both.alone is None


def test_what_is_about_to_leave_may_be_more_than_can() -> None:
    answer = feasibility(problem(reserved=650))
    assert answer.unpaid == 50
    assert not answer.holds
    assert answer.alone is None
    shares = [b for b in answer.broken if b.bound.unit is not Unit.AMOUNT]
    assert shares
    assert all(b.value is None for b in shares)


@settings(max_examples=100, deadline=None)
@given(markets())
def test_smallest_relaxation(market: Market) -> None:
    asked = market.limited
    answer = feasibility(asked)
    assume(answer.unpaid == 0)
    milder = relaxed(asked, answer)
    assert feasibility(milder).holds
    for one in answer.broken:
        assert one.value is not None
        less = one.value + 1 if one.bound.unit is Unit.FLOOR else one.value - 1
        still = feasibility(with_value(milder, one.bound, less)).broken
        assert [b.bound.name for b in still] == [one.bound.name]
        assert one.short > 0


@settings(max_examples=60, deadline=None)
@given(markets(), st.integers(0, 2 * 10**9))
def test_a_value_for_an_amount_is_the_strictest(market: Market, amount: int) -> None:
    asked = market.limited
    total = total_of(asked)
    assume(total > 0 and amount <= total)
    for bound in bounds(asked):
        value = value_for(bound, amount, total)
        now = next(b for b in bounds(with_value(asked, bound, value)) if b.name == bound.name)
        assert now.amount >= amount
        less = value + 1 if bound.unit is Unit.FLOOR else value - 1
        if less >= 0 and amount > 0:
            then = next(b for b in bounds(with_value(asked, bound, less)) if b.name == bound.name)
            assert then.amount < amount

"""The allocation under a whole policy: feasible, certified, explained, and never a loss."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.allocate import Allocation, allocate
from router.curves import RAY
from router.lending_curves import Kinked
from router.moves import Action
from router.plan_json import allocation_to_json, problem_from_json, problem_to_json
from router.policy import RebalanceRule
from router.problem import AllocationInput, Group, VenueInput
from router.stated_curves import FixedPot, Flat
from router.tiers import WAD, Limits, Tier, VenueLimit, share_down
from tests.router.markets import curves

pytestmark = pytest.mark.unit

PERCENT = RAY // 100
NO_LIMIT = VenueLimit(10**30, WAD)
RULE = RebalanceRule(horizon_s=31_536_000, min_gain=0, ticket=1, cooldown_s=0)


def problem(
    *venues: VenueInput, idle: int = 1000, reserved: int = 0, buffer: int = 0, **rule: int
) -> AllocationInput:
    limits = Limits(buffer, dict.fromkeys(Tier, WAD), {v.id: NO_LIMIT for v in venues})
    return AllocationInput(idle, reserved, venues, limits, replace(RULE, **rule))


def flat(id_: str, percent: int, position: int = 0, **more: object) -> VenueInput:
    return VenueInput(id_, Tier.CASH, Flat(percent * PERCENT), position, position, **more)  # type: ignore[arg-type]


def move_of(answer: Allocation, venue: str) -> tuple[Action, int, str]:
    found = next(m for m in answer.moves if m.venue == venue)
    return found.action, found.amount, found.code


@st.composite
def problems(draw: st.DrawFn) -> AllocationInput:
    size = 10**10
    venues = []
    for i in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, size))
        venues.append(
            VenueInput(
                f"v{i}",
                draw(st.sampled_from(list(Tier))),
                draw(curves(size)),
                position,
                draw(st.integers(0, size)),
                draw(st.none() | st.integers(0, size)),
                draw(st.sampled_from(["", "", "stale"])),
                draw(st.integers(0, 10**5)),
                draw(st.integers(0, 10**5)),
                draw(st.none() | st.integers(0, size)),
                size_min=draw(st.integers(0, 10**6)),
            )
        )
    shares = st.integers(0, WAD)
    limits = Limits(
        draw(shares),
        {t: draw(shares) for t in Tier},
        {v.id: VenueLimit(draw(st.integers(0, size)), draw(shares)) for v in venues},
    )
    rule = RebalanceRule(86_400 * 30, draw(st.integers(0, 100)), draw(st.integers(1, 10**6)), 0)
    idle, reserved = draw(st.integers(0, size)), draw(st.integers(0, size))
    names = [v.id for v in venues]
    groups = [
        Group(f"g{n}", frozenset(draw(st.sets(st.sampled_from(names)))), draw(st.integers(0, size)))
        for n in range(draw(st.integers(0, 3)))
    ]
    return AllocationInput(idle, reserved, tuple(venues), limits, rule, tuple(groups))


@settings(max_examples=80, deadline=None)
@given(problems())
def test_moves_are_feasible_from_where_the_money_is(asked: AllocationInput) -> None:
    """Property 56: entries are within every cap and paid for; exits within what can leave."""
    answer = allocate(asked)
    spent = 0
    for v in asked.venues:
        x = answer.targets[v.id]
        rule = asked.limits.venues[v.id]
        assert x >= v.position - min(v.withdrawable, v.position)
        spent += x - v.position
        if x > v.position:
            assert not v.refusal
            assert x <= rule.amount_max
            assert x <= share_down(answer.total, rule.share_max_wad)
            assert v.capacity is None or x - v.position <= v.capacity
            assert x - v.position >= asked.rule.ticket
            tier = sum(answer.targets[o.id] for o in asked.venues if o.tier is v.tier)
            assert tier <= share_down(answer.total, asked.limits.tiers[v.tier])
            assert v.amount_max is None or x <= v.amount_max
            assert x >= v.size_min
            for group in asked.groups:
                if v.id in group.venues:
                    assert sum(answer.targets[id_] for id_ in group.venues) <= group.cap
    entries = [v for v in asked.venues if answer.targets[v.id] > v.position]
    if entries:
        assert asked.idle - asked.reserved - spent >= answer.buffer
    assert answer.gap_ray >= 0
    assert {m.venue for m in answer.moves} == {v.id for v in asked.venues}
    assert all(m.reason and m.code for m in answer.moves)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_same_question_from_json_gives_the_same_answer(asked: AllocationInput) -> None:
    again = problem_from_json(problem_to_json(asked))
    assert allocation_to_json(allocate(again)) == allocation_to_json(allocate(asked))


@settings(max_examples=80, deadline=None)
@given(problems())
def test_never_worse_than_staying_unless_an_exit_is_forced(asked: AllocationInput) -> None:
    answer = allocate(asked)
    if answer.income_ray < answer.current_ray:
        assert any(m.code == "exit:over-limit" for m in answer.moves)


def test_prices_of_limits_and_reasons_of_moves() -> None:
    answer = allocate(problem(flat("a", 5), flat("b", 3), buffer=WAD // 10))
    assert move_of(answer, "a") == (Action.ENTER, 900, "enter:pays-more")
    assert move_of(answer, "b") == (Action.HOLD, 0, "hold:pays-less")
    price = {p.limit: p.price_ray for p in answer.prices}
    assert abs(price["liquidity_buffer"] - 5 * PERCENT) < PERCENT // 10**9


def test_refused_venue_is_not_entered_but_left() -> None:
    doubtful = flat("a", 9, 500, refusal="stale rate")
    assert move_of(allocate(problem(doubtful)), "a") == (Action.HOLD, 0, "hold:entry-refused")
    rich = flat("b", 12)
    answer = allocate(problem(doubtful, rich, idle=0))
    assert move_of(answer, "a")[0] is Action.EXIT
    assert move_of(answer, "b")[:2] == (Action.ENTER, 500)


def test_a_group_is_capped_whatever_each_of_its_venues_may_hold() -> None:
    groups = (
        Group("protocol:x", frozenset({"a", "b"}), 500),
        Group("issuer:y", frozenset({"b", "c"}), 300),
    )
    asked = replace(problem(flat("a", 9), flat("b", 8), flat("c", 7), flat("d", 1)), groups=groups)
    answer = allocate(asked)
    assert answer.targets == {"a": 500, "b": 0, "c": 300, "d": 200}
    price = {p.limit: p.price_ray for p in answer.prices}
    assert abs(price["group:protocol:x"] - 8 * PERCENT) < PERCENT // 10**6
    assert abs(price["group:issuer:y"] - 6 * PERCENT) < PERCENT // 10**6


def test_an_exit_that_costs_more_than_it_brings_is_not_made() -> None:
    poor = replace(flat("a", 5, 1000), exit_cost=6)
    rich = replace(flat("b", 6), enter_cost=5)
    answer = allocate(problem(poor, rich, idle=0))
    assert move_of(answer, "a")[0] is Action.HOLD
    answer = allocate(problem(replace(poor, exit_cost=4), rich, idle=0))
    assert move_of(answer, "b")[:2] == (Action.ENTER, 1000)


def test_a_plan_moves_no_more_than_the_turnover_and_what_earns_most_first() -> None:
    asked = problem(flat("a", 3, 1000), flat("b", 9), flat("c", 8), idle=100, turnover_max=500)
    answer = allocate(asked)
    assert sum(m.amount for m in answer.moves) <= 500
    assert answer.targets == {"a": 800, "b": 300, "c": 0}
    only_idle = allocate(replace(asked, rule=replace(asked.rule, turnover_max=60)))
    assert only_idle.targets == {"a": 1000, "b": 60, "c": 0}


def test_a_ticket_that_is_more_than_the_turnover_leaves_moves_nothing_more() -> None:
    asked = problem(flat("a", 3, 1000), flat("b", 9), idle=20, ticket=60, turnover_max=100)
    assert sum(m.amount for m in allocate(asked).moves) <= 100
    market = Kinked(100, 90, 0, 4 * PERCENT, 60 * PERCENT, 9 * RAY // 10, 0)
    past_its_crest = VenueInput("a", Tier.CASH, market, 900, 900)
    answer = allocate(problem(past_its_crest, idle=0, turnover_max=10))
    assert sum(m.amount for m in answer.moves) <= 10


def test_turnover_too_small_for_one_venue_goes_to_the_next() -> None:
    asked = problem(flat("b", 9, size_min=500, capacity=600), flat("c", 8), turnover_max=100)
    assert allocate(asked).targets == {"b": 0, "c": 100}


def test_a_limit_that_is_reached_under_a_turnover_keeps_its_name() -> None:
    own = flat("b", 9, amount_max=50, limit="supply_share_max")
    answer = allocate(problem(own, flat("c", 8), turnover_max=100))
    assert move_of(answer, "b") == (Action.ENTER, 50, "enter:at-limit:supply_share_max")
    assert move_of(answer, "c") == (Action.ENTER, 50, "enter:at-limit:turnover")


def test_a_forced_exit_is_no_turnover() -> None:
    asked = problem(flat("a", 9, 800), idle=0, turnover_max=10)
    limits = replace(asked.limits, venues={"a": VenueLimit(100, WAD)})
    assert move_of(allocate(replace(asked, limits=limits)), "a")[:2] == (Action.EXIT, 700)


def test_cap_below_the_position_forces_the_exit_of_what_can_leave() -> None:
    asked = problem(VenueInput("a", Tier.CASH, Flat(9 * PERCENT), 800, 300), idle=0)
    limits = replace(asked.limits, venues={"a": VenueLimit(100, WAD)})
    answer = allocate(replace(asked, limits=limits))
    assert move_of(answer, "a") == (Action.EXIT, 300, "exit:over-limit")


def test_small_move_and_small_gain_are_held_with_their_reason() -> None:
    answer = allocate(problem(flat("a", 5), ticket=2000))
    assert move_of(answer, "a") == (Action.HOLD, 0, "hold:below-ticket")
    answer = allocate(problem(flat("a", 5), min_gain=51))
    assert move_of(answer, "a") == (Action.HOLD, 0, "hold:below-min-gain")
    assert "below 51" in answer.held
    assert move_of(allocate(problem(flat("a", 5), min_gain=50)), "a")[0] is Action.ENTER


def test_a_cap_passed_by_less_than_a_ticket_is_left_alone() -> None:
    asked = problem(flat("a", 9, 105), idle=1000, ticket=10)
    limits = replace(asked.limits, venues={"a": VenueLimit(100, WAD)})
    answer = allocate(replace(asked, limits=limits))
    assert move_of(answer, "a") == (Action.HOLD, 0, "hold:below-ticket")


def test_a_cap_passed_by_less_than_a_ticket_holds_up_no_other_venue() -> None:
    """Yield lifts a position over its cap all the time."""
    over = flat("a", 9, 10_001, amount_max=10_000)
    answer = allocate(problem(over, flat("c", 1), ticket=1000))
    assert answer.targets == {"a": 10_001, "c": 1000}
    assert answer.income_ray <= answer.bound_ray


def test_entry_is_trimmed_when_the_exit_that_paid_for_it_is_dropped() -> None:
    answer = allocate(problem(flat("a", 2, 5), flat("b", 9), idle=100, ticket=10))
    assert move_of(answer, "a") == (Action.HOLD, 0, "hold:below-ticket")
    assert move_of(answer, "b") == (Action.ENTER, 100, "enter:pays-more")


def test_a_pool_without_venues_keeps_its_money() -> None:
    answer = allocate(problem(idle=7))
    assert (answer.targets, answer.moves, answer.total) == ({}, (), 7)


def test_a_market_that_is_all_lent_out_and_has_no_kink_is_held() -> None:
    """Its last unit but one would leave less than is owed: where a second slope would begin."""
    market = Kinked(900, 1000, 0, 4 * PERCENT, 60 * PERCENT, RAY, 0)
    stuck = VenueInput("a", Tier.CASH, market, 100, 0, refusal="too much of it is lent")
    assert move_of(allocate(problem(stuck, idle=0)), "a") == (Action.HOLD, 0, "hold:entry-refused")


def test_redemptions_are_kept_free() -> None:
    answer = allocate(problem(flat("a", 5, 400), idle=100, reserved=300))
    assert move_of(answer, "a") == (Action.EXIT, 200, "exit:over-limit")


def test_equal_marginal_incomes_share_the_money() -> None:
    pots = [VenueInput(f"p{i}", Tier.CASH, FixedPot(1000 * RAY, 10**6), 0, 0) for i in range(2)]
    answer = allocate(problem(*pots, idle=10**6))
    assert abs(answer.targets["p0"] - answer.targets["p1"]) <= 1
    assert sum(answer.targets.values()) == 10**6

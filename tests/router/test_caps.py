"""Property 56: per-protocol and per-tier caps hold in 10^4 random markets, from policy to plan.

A cap never makes what is stuck leave, so what holds is: no more than the cap, or than what cannot
leave. Into what is over its cap nothing enters.
"""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings

from router.allocate import Allocation, allocate
from router.levers import bounds
from router.limits import stuck_of
from router.problem import AllocationInput
from tests.router.risk.worlds import Market, markets

pytestmark = [pytest.mark.unit, pytest.mark.timeout(1200)]

MARKETS = 10_000 if os.environ.get("MOORAGE_DEEP") else 100


def _assert_within(problem: AllocationInput, answer: Allocation, *kinds: str) -> None:
    stuck = {v.id: stuck_of(v) for v in problem.venues}
    for bound in bounds(problem):
        if not bound.name.startswith(kinds):
            continue
        held = sum(answer.targets[id_] for id_ in bound.venues)
        least = sum(stuck[id_] for id_ in bound.venues)
        assert held <= max(bound.amount, least), bound


@settings(max_examples=MARKETS, deadline=None)
@given(markets(venues_max=3))
def test_tiers_venues_and_the_buffer_hold(market: Market) -> None:
    """Property 56."""
    answer = allocate(market.limited)
    own = tuple(f"venue:{v.id}:{rule}" for v in market.problem.venues for rule in ("cap", "share"))
    _assert_within(market.limited, answer, "tier:", "liquidity_buffer", *own)


@settings(max_examples=MARKETS, deadline=None)
@given(markets(venues_max=3))
def test_groups_and_rules_hold(market: Market) -> None:
    """Property 56: protocols, issuers, ladder, lock-ups, frozen venues, a depeg, own rules."""
    problem = market.limited
    unlimited = replace(problem, rule=replace(problem.rule, turnover_max=None))
    _assert_within(unlimited, allocate(unlimited), "tier:", "group:", "venue:", "liquidity_buffer")

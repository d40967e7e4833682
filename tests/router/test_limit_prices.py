"""What limits cost, by hand: the next unit, one more percent of the pool, and none at all."""

from typing import Any

import pytest
from hypothesis import given, settings

from router.curves import RAY
from router.limit_prices import Costs, priced
from router.problem import AllocationInput, Group, VenueInput
from router.stated_curves import Flat
from router.tiers import WAD, Limits, Tier, VenueLimit
from tests.router.risk.worlds import RULE, Market, markets

pytestmark = pytest.mark.unit

PERCENT = RAY // 100


def problem(
    buffer: int = 0, cash: int = WAD, cap: int = 10**30, part: int = WAD, **venue: Any
) -> AllocationInput:
    """10,000 idle; `a` pays 5 % (cash), `b` pays 3 % (bonds)."""
    venues = (
        VenueInput("a", Tier.CASH, Flat(5 * PERCENT), 0, 0, **venue),
        VenueInput("b", Tier.BONDS, Flat(3 * PERCENT), 0, 0),
    )
    limits = Limits(
        buffer,
        {Tier.CASH: cash, Tier.BONDS: WAD},
        {"a": VenueLimit(cap, part), "b": VenueLimit(10**30, WAD)},
    )
    return AllocationInput(10_000, 0, venues, limits, RULE)


def costs(asked: AllocationInput) -> dict[str, tuple[str, int | None, int | None]]:
    return {c.limit: (c.bps, c.percent_more, c.without) for c in priced(asked).limits}


@pytest.mark.parametrize(
    ("case", "asked", "limit", "wanted"),
    [
        ("the buffer keeps a tenth idle", problem(buffer=WAD // 10), "liquidity_buffer",
         ("500.00", 5, 50)),
        ("a tier", problem(cash=WAD * 4 // 10), "tier:cash", ("200.00", 2, 120)),
        ("a cap", problem(cap=4000), "venue:a:cap", ("200.00", 2, 120)),
        ("a share", problem(part=WAD * 4 // 10), "venue:a:share_max", ("200.00", 2, 120)),
        ("what the venue takes is not ours to set", problem(capacity=4000), "venue:a:capacity",
         ("200.00", None, None)),
    ],
)  # fmt: skip
def test_one_limit(case: str, asked: AllocationInput, limit: str, wanted: tuple[Any, ...]) -> None:
    assert costs(asked)[limit] == wanted, case


def test_two_limits_at_one_place_earn_nothing_one_by_one() -> None:
    found = costs(problem(cap=4000, cash=WAD * 4 // 10))
    assert found
    assert {(more, free) for _, more, free in found.values()} == {(0, 0)}


def test_a_group() -> None:
    asked = problem()
    group = Group("protocol:x", frozenset({"a"}), 4000)
    asked = AllocationInput(10_000, 0, asked.venues, asked.limits, RULE, (group,))
    assert costs(asked)["group:protocol:x"] == ("200.00", 2, 120)


def test_a_rule_of_the_venue() -> None:
    asked = problem(amount_max=4000, limit="supply_share_max")
    assert costs(asked)["venue:a:supply_share_max"] == ("200.00", 2, 120)


def test_basis_points_are_rounded_to_the_nearest() -> None:
    assert Costs("x", RAY // 10**6 - 1, None, None).bps == "0.01"
    assert Costs("x", RAY // (2 * 10**6) - 1, None, None).bps == "0.00"
    assert Costs("x", 123 * RAY // 10**6, None, None).bps == "1.23"


def test_what_cannot_hold_is_said() -> None:
    asked = problem()
    stuck = VenueInput("a", Tier.CASH, Flat(5 * PERCENT), 600, 0)
    limits = Limits(0, asked.limits.tiers, {**asked.limits.venues, "a": VenueLimit(500, WAD)})
    found = priced(AllocationInput(400, 0, (stuck, asked.venues[1]), limits, RULE))
    broken = found.feasibility.broken
    assert [(b.bound.name, b.short, b.value) for b in broken] == [("venue:a:cap", 100, 600)]
    assert found.feasibility.alone == "venue:a:cap"


@settings(max_examples=40, deadline=None)
@given(markets(venues_max=3))
def test_milder_limits_never_earn_less(market: Market) -> None:
    """And without a limit at least what one more percent of it earns, up to the solver's gap."""
    found = priced(market.limited)
    assert found.income >= 0
    for one in found.limits:
        assert one.price_ray > 0
        assert (one.percent_more is None) == (one.without is None)
        assert (one.percent_more or 0) >= 0
    assert [c.price_ray for c in found.limits] == sorted(
        (c.price_ray for c in found.limits), reverse=True
    )

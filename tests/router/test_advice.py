"""Advice: sums, limits, honesty about short histories, and exactly the best of all mixes."""

from datetime import date
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.advice import (
    BALANCE,
    WINDOWS_MIN,
    Advice,
    History,
    Offer,
    Wish,
    advise,
    deepest_fall_ray_up,
    facts_of,
    returns_ray_down,
)
from router.curves import BPS, RAY
from router.tiers import Tier

pytestmark = pytest.mark.unit

UNTIL = date(2026, 1, 1)
WISHES = st.builds(
    Wish, st.integers(1, 40), st.integers(0, BPS), st.integers(0, 40), st.integers(0, BPS)
)


def history(*steps: int, start: int = RAY) -> History:
    """Prices that move by so many bps a day."""
    prices = [start]
    for step in steps:
        prices.append(prices[-1] * (BPS + step) // BPS)
    return History(UNTIL, tuple(prices))


HISTORIES = st.lists(st.integers(-300, 320), max_size=110).map(lambda s: history(*s))
OFFERS = st.lists(
    st.builds(
        Offer, st.sampled_from(list(Tier)), st.just("pol"), st.integers(0, 30), HISTORIES,
        st.lists(HISTORIES, max_size=2).map(tuple),
    ),
    max_size=5,
)  # fmt: skip


def share_of(found: Advice, tier: str) -> int:
    return next(p.share_bps for p in found.parts if p.tier == tier)


@given(WISHES, OFFERS)
def test_parts_sum_and_never_go_above_what_was_asked_for(wish: Wish, offers: list[Offer]) -> None:
    found = advise(wish, offers)
    assert sum(p.share_bps for p in found.parts) == BPS
    assert min(p.share_bps for p in found.parts) >= 0
    assert found.fall_ray * BPS <= wish.loss_bps * RAY
    exits = {o.tier.value: o.exit_days for o in reversed(offers)}
    slow = sum(p.share_bps for p in found.parts if exits.get(p.tier, 0) > wish.liquidity_days)
    assert slow <= BPS - wish.liquidity_bps
    for p in found.parts:
        assert p.share_bps == 0 or p.tier == BALANCE or p.facts is not None
        assert p.share_bps == 0 or exits.get(p.tier, 0) <= wish.horizon_days
        assert p.reason
    assert found == advise(wish, offers)


@given(WISHES, OFFERS)
def test_no_mix_on_a_grid_earns_more_within_the_limits(wish: Wish, offers: list[Offer]) -> None:
    found = advise(wish, offers)
    first = {o.tier: o for o in reversed(offers)}
    able = [p for p in found.parts if p.facts is not None and p.tier != BALANCE]
    if not able or found.range_ray is None:
        return
    grid = range(0, BPS + 1, 2_500)
    for mix in product(grid, repeat=len(able)):
        facts = [p.facts for p in able]
        fall = sum(w * f.fall_ray for w, f in zip(mix, facts, strict=True) if f)
        exits = [first[Tier(p.tier)].exit_days for p in able]
        slow = sum(w for w, e in zip(mix, exits, strict=True) if e > wish.liquidity_days)
        late = sum(w for w, e in zip(mix, exits, strict=True) if e > wish.horizon_days)
        if late or sum(mix) > BPS or fall > wish.loss_bps * RAY or slow > BPS - wish.liquidity_bps:
            continue
        earned = sum(w * f.range_ray[1] for w, f in zip(mix, facts, strict=True) if f)
        # Shares are cut to whole bps, which costs less than one bps of each tier's income.
        room = sum(max(f.range_ray[1], 0) for f in facts if f) + BPS
        assert earned // BPS <= found.range_ray[1] + room // BPS


CALM = history(*[1] * 100)
WILD = history(*([40, -20] * 50))


def test_who_bears_no_loss_gets_what_never_fell() -> None:
    offers = [Offer(Tier.CASH, "a", 0, CALM), Offer(Tier.STRATEGIES, "b", 0, WILD)]
    calm = advise(Wish(30, 0, 0, 0), offers)
    assert (share_of(calm, "cash"), share_of(calm, "strategies")) == (BPS, 0)
    assert calm.binding == ("loss tolerance",)
    bold = advise(Wish(30, 0, 0, BPS), offers)
    assert share_of(bold, "strategies") == BPS
    half = advise(Wish(30, 0, 0, 10), offers)
    assert 0 < share_of(half, "strategies") < BPS
    assert share_of(half, "cash") + share_of(half, "strategies") >= BPS - 1
    assert half.fall_ray * BPS <= 10 * RAY


def test_what_is_needed_soon_is_not_put_where_exits_take_long() -> None:
    offers = [Offer(Tier.CASH, "a", 0, CALM), Offer(Tier.STAKING, "b", 7, history(*[5] * 100))]
    found = advise(Wish(30, 4_000, 2, BPS), offers)
    assert (share_of(found, "cash"), share_of(found, "staking")) == (4_000, 6_000)
    assert found.binding == ("need of money",)
    short = advise(Wish(5, 0, 5, BPS), offers)
    assert share_of(short, "staking") == 0
    assert "longer than the horizon" in next(p.reason for p in short.parts if p.tier == "staking")


def test_short_history_is_said_and_not_guessed() -> None:
    short = history(*[1] * (28 + WINDOWS_MIN))
    offer = Offer(Tier.CASH, "a", 0, short)
    found = advise(Wish(30, 0, 0, BPS), [offer])
    assert (share_of(found, "cash"), found.range_ray) == (0, None)
    assert found.parts[0].reason == "not enough history to advise on"
    enough = Offer(Tier.CASH, "a", 0, short, (CALM,))
    facts = facts_of(enough, 30)
    assert facts is not None
    assert (facts.pooled, facts.windows) == (True, 30 - 1 + 71)
    assert facts_of(Offer(Tier.CASH, "a", 0, history(*[1] * 60)), 30) is not None
    assert advise(Wish(30, 0, 0, BPS), []).parts[0].share_bps == BPS


def test_range_and_worst_are_those_of_past_windows() -> None:
    prices = (100, 110, 99, 120, 60, 120)
    found = History(UNTIL, prices)
    assert returns_ray_down(found, 2) == [
        99 * RAY // 100 - RAY, 120 * RAY // 110 - RAY, 60 * RAY // 99 - RAY, 0,
    ]  # fmt: skip
    assert deepest_fall_ray_up(found, 1) == (RAY // 2, date(2025, 12, 31))
    assert deepest_fall_ray_up(History(UNTIL, (1, 2, 3)), 9) == (0, None)
    dead = History(UNTIL, (5, 0, 0))
    assert returns_ray_down(dead, 1) == [-RAY, -RAY]
    assert deepest_fall_ray_up(dead, 1) == (RAY, date(2025, 12, 31))
    assert deepest_fall_ray_up(History(UNTIL, (9, 8, 7)), 1)[0] == RAY - 7 * RAY // 8
    assert deepest_fall_ray_up(History(UNTIL, (9, 8, 7)), 2)[0] == RAY - 7 * RAY // 9


@given(HISTORIES, st.integers(1, 60))
def test_deepest_fall_is_that_of_all_pairs_of_days(found: History, days: int) -> None:
    p = found.prices_ray
    pairs = [(i, j) for i in range(len(p)) for j in range(i, min(i + days, len(p) - 1) + 1)]
    assert deepest_fall_ray_up(found, days)[0] == max(RAY - p[j] * RAY // p[i] for i, j in pairs)

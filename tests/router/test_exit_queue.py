"""Nobody is overtaken, nobody blocks his day, and no unit is given twice."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.exit_queue import Claim, allot

pytestmark = pytest.mark.unit

FIRST = date(2026, 1, 1)
AMOUNTS = st.integers(0, 10**24)


def claim(day: int, amount: int, set_aside: int = 0) -> Claim:
    return Claim(FIRST + timedelta(days=day), amount, set_aside)


CLAIMS = st.lists(st.builds(claim, st.integers(0, 4), AMOUNTS, AMOUNTS), max_size=20).map(
    lambda found: sorted(found, key=lambda c: c.batch)
)


@given(st.integers(-(10**24), 10**25), CLAIMS)
def test_sums_are_exact_and_nobody_gets_more_than_his_claim(free: int, claims: list[Claim]) -> None:
    after = allot(free, claims)
    assert all(0 <= a <= c.amount for a, c in zip(after, claims, strict=True))
    kept = sum(min(c.set_aside, c.amount) for c in claims)
    there = max(free + sum(c.set_aside for c in claims), kept)
    assert sum(after) == min(there, sum(c.amount for c in claims))


@given(st.integers(0, 10**25), CLAIMS)
def test_a_later_day_gets_nothing_while_an_earlier_one_lacks(
    free: int, claims: list[Claim]
) -> None:
    after = allot(free, claims)
    for i, c in enumerate(claims):
        if after[i] > min(c.set_aside, c.amount):
            for j, earlier in enumerate(claims):
                assert earlier.batch >= c.batch or after[j] == earlier.amount


@given(st.integers(0, 10**25), st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=12))
def test_within_a_day_money_comes_in_proportion_to_what_each_lacks(
    free: int, found: list[tuple[int, int]]
) -> None:
    claims = [claim(0, amount, min(aside, amount)) for amount, aside in found]
    after = allot(free, claims)
    lacking = sum(c.lacking for c in claims)
    part = min(free, lacking)
    for a, c in zip(after, claims, strict=True):
        fair = part * c.lacking // lacking if lacking else 0
        assert fair <= a - c.set_aside <= fair + 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),  # days that go by
            st.lists(st.integers(1, 10**12), max_size=3),  # who comes
            st.integers(0, 10**12),  # what gets free
            st.integers(0, 10_000),  # the loss of the round, in bps of the price
        ),
        max_size=12,
    )
)
def test_whatever_comes_when_the_earlier_day_is_whole_before_the_later_has_a_unit(
    rounds: list[tuple[int, list[int], int, int]],
) -> None:
    """Random arrivals, money and losses: the queue as the job runs it."""
    queue: list[Claim] = []
    day, pot = 0, 0
    for days, come, money, loss_bps in rounds:
        day += days
        queue = [claim_after(c, loss_bps) for c in queue]
        queue += [claim(day, amount) for amount in come]
        pot += money
        free = pot - sum(c.set_aside for c in queue)
        after = allot(free, queue)
        before = queue
        queue = [Claim(c.batch, c.amount, a) for c, a in zip(before, after, strict=True)]
        assert sum(after) <= pot
        gained = [i for i in range(len(queue)) if after[i] > before[i].set_aside]
        for i in gained:
            assert all(c.lacking == 0 for c in queue if c.batch < queue[i].batch)
        if any(c.lacking for c in queue):
            assert sum(after) >= min(pot, sum(c.amount for c in queue))
    for earlier, later in pairwise(queue):
        assert earlier.batch <= later.batch


def claim_after(c: Claim, loss_bps: int) -> Claim:
    """The same claim after the price has fallen: by the same part for everybody."""
    return Claim(c.batch, c.amount * (10_000 - loss_bps) // 10_000, c.set_aside)


def test_a_large_exit_does_not_keep_a_small_one_of_its_day_waiting_for_all_of_itself() -> None:
    assert allot(110, [claim(0, 1_000), claim(0, 100), claim(1, 5)]) == [100, 10, 0]


def test_money_that_a_fallen_claim_no_longer_needs_goes_to_the_others() -> None:
    assert allot(0, [claim(0, 60, 100), claim(0, 100, 0)]) == [60, 40]

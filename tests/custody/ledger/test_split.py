"""Splits sum exactly."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.core.errors import InvalidInput
from custody.core.money import AMOUNT_MAX
from custody.ledger.split import split

pytestmark = pytest.mark.unit

CASES = [
    (100, [1, 1, 1], [34, 33, 33]),
    (101, [1, 1, 1], [34, 34, 33]),
    (1, [1, 1], [1, 0]),
    (1, [0, 1, 1], [0, 1, 0]),
    (0, [1, 2], [0, 0]),
    (7, [5], [7]),
    (10, [0, 0, 3], [0, 0, 10]),
    (10, [1, 2, 7], [1, 2, 7]),
]


@pytest.mark.parametrize(("amount", "shares", "parts"), CASES)
def test_split(amount: int, shares: list[int], parts: list[int]) -> None:
    assert split(amount, shares) == parts


@pytest.mark.parametrize(
    ("amount", "shares", "field"),
    [(-1, [1], "amount"), (1, [], "shares"), (1, [0, 0], "shares"), (1, [2, -1], "shares")],
)
def test_refused(amount: int, shares: list[int], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        split(amount, shares)
    assert error.value.field == field


def check(amount: int, shares: list[int]) -> None:
    """The parts add up, and none is more than a unit away from its exact share."""
    parts = split(amount, shares)
    total = sum(shares)
    assert sum(parts) == amount
    for part, share in zip(parts, shares, strict=True):
        assert amount * share // total <= part <= amount * share // total + 1
        assert share or not part


@settings(max_examples=200)
@given(
    amount=st.integers(0, AMOUNT_MAX),
    shares=st.lists(st.integers(0, 10**30), min_size=1, max_size=40).filter(any),
)
def test_parts_add_up_to_the_amount(amount: int, shares: list[int]) -> None:
    """Property 7."""
    check(amount, shares)


def test_parts_of_a_hundred_thousand_amounts_add_up() -> None:
    """Property 7."""
    chance = random.Random(7)
    for _ in range(100_000):
        shares = [chance.randrange(10_000) for _ in range(chance.randrange(1, 6))]
        check(chance.getrandbits(chance.randrange(257)), [*shares, 1])

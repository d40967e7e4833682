"""Splits sum exactly."""

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody.core.errors import InvalidInput
from custody.core.money import AMOUNT_MAX
from custody.ledger.split import (
    PPM,
    Fixed,
    Part,
    Percent,
    Remainder,
    Rule,
    split,
    split_by_rules,
)

pytestmark = pytest.mark.unit

EXAMPLES = 100_000 if os.environ.get("MOORAGE_DEEP") else 500

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


# What it shows, the amount, the rules, the part of each rule (a zero here is a part left out).
RULE_CASES: list[tuple[str, int, list[Rule[str]], list[int]]] = [
    ("nothing of nothing", 0, [], []),
    ("a rule alone gets all of it", 7, [Remainder("a")], [7]),
    ("zero has no parts", 0, [Fixed("a", 5), Percent("b", PPM), Remainder("c")], [0, 0, 0]),
    # Fixed
    ("fixed is exact", 100, [Fixed("a", 30), Remainder("b")], [30, 70]),
    ("fixed takes what is left where that is less", 20, [Fixed("a", 30), Remainder("b")], [20, 0]),
    ("fixed of zero", 9, [Fixed("a", 0), Remainder("b")], [0, 9]),
    ("fixed capped", 100, [Fixed("a", 30, cap=10), Remainder("b")], [10, 90]),
    ("fixed at its cap", 100, [Fixed("a", 30, cap=30), Remainder("b")], [30, 70]),
    ("cap of zero", 100, [Fixed("a", 30, cap=0), Remainder("b")], [0, 100]),
    ("fixed that fit need no remainder", 30, [Fixed("a", 10), Fixed("b", 20)], [10, 20]),
    # Percent
    ("percent", 200, [Percent("a", 250_000), Remainder("b")], [50, 150]),
    ("percent is floored", 999, [Percent("a", 1_000), Remainder("b")], [0, 999]),
    ("percent just reached", 1_000, [Percent("a", 1_000), Remainder("b")], [1, 999]),
    ("all of it", 77, [Percent("a", PPM)], [77]),
    ("percent capped", 200, [Percent("a", 250_000, cap=49), Remainder("b")], [49, 151]),
    (
        "percent is of the whole, not of what is left",
        200,
        [Fixed("a", 100), Percent("b", 250_000, priority=1), Remainder("c", priority=1)],
        [100, 50, 50],
    ),
    (
        "percent is limited to what is left",
        200,
        [Fixed("a", 180), Percent("b", 250_000, priority=1), Remainder("c", priority=1)],
        [180, 20, 0],
    ),
    (
        "percents floored leave a unit to the remainder",
        101,
        [Percent("a", 500_000), Percent("b", 500_000), Remainder("c")],
        [50, 50, 1],
    ),
    (
        "the sum of percents is limited in one priority only",
        100,
        [Percent("a", 600_000), Percent("b", 600_000, priority=1)],
        [60, 40],
    ),
    (
        "far beyond 64 bits",
        2**256 - 1,
        [Percent("a", 1), Remainder("b")],
        [(2**256 - 1) // PPM, 2**256 - 1 - (2**256 - 1) // PPM],
    ),
    # Remainder
    ("remainders by weight", 10, [Remainder("a", weight=3), Remainder("b", weight=7)], [3, 7]),
    ("odd units to the first", 11, [Remainder("a"), Remainder("b"), Remainder("c")], [4, 4, 3]),
    ("remainder comes last in its priority", 10, [Remainder("a"), Fixed("b", 4)], [6, 4]),
    ("a full remainder leaves the excess", 10, [Remainder("a", cap=2), Remainder("b")], [2, 8]),
    (
        "the excess goes by weight",
        100,
        [Remainder("a", cap=10), Remainder("b", weight=2), Remainder("c", weight=1)],
        [10, 60, 30],
    ),
    (
        "the excess of one fills another",
        100,
        [Remainder("a", cap=10), Remainder("b", cap=40), Remainder("c")],
        [10, 40, 50],
    ),
    (
        "the excess of all goes on",
        100,
        [Remainder("a", cap=10), Remainder("b", cap=20), Remainder("c", priority=1)],
        [10, 20, 70],
    ),
    (
        "the odd unit passes a full one",
        3,
        [Remainder("a", cap=1), Remainder("b")],
        [1, 2],
    ),
    # Priority
    (
        "the lower number first, whatever the order given",
        100,
        [Remainder("a", priority=2), Fixed("b", 90, priority=1), Fixed("c", 20)],
        [0, 80, 20],
    ),
    (
        "one that is short leaves nothing to the next",
        100,
        [Fixed("a", 150), Fixed("b", 1, priority=1)],
        [100, 0],
    ),
    ("short: in proportion", 30, [Fixed("a", 20), Fixed("b", 40), Remainder("c")], [10, 20, 0]),
    ("short: odd units in order", 10, [Fixed("a", 9), Fixed("b", 9), Fixed("c", 9)], [4, 3, 3]),
    ("short: order is that given", 1, [Fixed("a", 1), Fixed("b", 99)], [1, 0]),
    ("short: a claim of zero gets no odd unit", 1, [Fixed("a", 0), Fixed("b", 2)], [0, 1]),
    (
        "short: by the claim after its cap",
        30,
        [Fixed("a", 1_000, cap=20), Fixed("b", 40)],
        [10, 20],
    ),
    (
        "short: fixed and percent by what they claim",
        100,
        [Fixed("a", 100), Percent("b", 500_000)],
        [67, 33],
    ),
    # All of it: a fee, then senior holders, then junior, then the operator
    (
        "a waterfall",
        1_000_003,
        [
            Percent("fee", 20_000, cap=15_000),
            Fixed("senior", 600_000, priority=1),
            Fixed("junior one", 300_000, priority=2),
            Fixed("junior two", 100_000, priority=2),
            Remainder("operator", priority=3),
        ],
        [15_000, 600_000, 288_753, 96_250, 0],
    ),
]


@pytest.mark.parametrize(
    ("amount", "rules", "amounts"),
    [pytest.param(*case, id=name) for name, *case in RULE_CASES],
)
def test_rules(amount: int, rules: list[Rule[str]], amounts: list[int]) -> None:
    given = zip(rules, amounts, strict=True)
    assert split_by_rules(amount, rules) == [Part(rule.to, part) for rule, part in given if part]


def test_two_rules_for_one_give_two_parts() -> None:
    rules: list[Rule[str]] = [Fixed("a", 4), Remainder("a")]
    assert split_by_rules(10, rules) == [Part("a", 4), Part("a", 6)]


WHOLE, WEIGHED = "must be a whole number, at least 0", "must be a whole number, at least 1"
ODD: Any = 0.5
NONE: Any = None
AFTER = "must not be after a Remainder without a cap"

# In the order in which the checks fail: most rows break a later one too.
RULE_ERRORS: list[tuple[int, list[Rule[str]], str, str]] = [
    (-1, [Fixed("a", -1)], "amount", WHOLE),
    (True, [Fixed("a", -1)], "amount", WHOLE),
    (ODD, [Fixed("a", -1)], "amount", WHOLE),
    (9, [Fixed("a", -1), Percent("b", PPM + 1)], "rules[0].amount", WHOLE),
    (9, [Fixed("a", ODD), Percent("b", PPM + 1)], "rules[0].amount", WHOLE),
    (9, [Fixed("a", NONE), Percent("b", PPM + 1)], "rules[0].amount", WHOLE),
    (9, [Percent("a", PPM + 1), Percent("b", -1)], "rules[1].share_ppm", WHOLE),
    (9, [Percent("a", PPM + 1), Fixed("b", 1, cap=-1)], "rules[1].cap", WHOLE),
    (9, [Percent("a", PPM + 1), Percent("b", 1, cap=-1)], "rules[1].cap", WHOLE),
    (9, [Percent("a", PPM + 1), Remainder("b", cap=-1)], "rules[1].cap", WHOLE),
    (9, [Percent("a", PPM + 1), Remainder("b", weight=0)], "rules[1].weight", WEIGHED),
    (9, [Percent("a", PPM + 1), Fixed("b", 1, priority=-1)], "rules[1].priority", WHOLE),
    (9, [Percent("a", PPM + 1), Fixed("b", 1, priority=NONE)], "rules[1].priority", WHOLE),
    (
        9,
        [Percent("a", PPM, priority=1), Remainder("b"), Percent("c", 1, priority=1)],
        "rules.share_ppm",
        "must sum to at most 1000000 in one priority",
    ),
    (9, [Remainder("a"), Remainder("b", cap=1, priority=1)], "rules.priority", AFTER),
    (9, [Fixed("a", 9, priority=2), Remainder("b", priority=1)], "rules.priority", AFTER),
    (9, [Remainder("a", priority=1), Remainder("b", priority=2)], "rules.priority", AFTER),
    (9, [], "rules", "must give out the whole amount, but leave 9"),
    (9, [Fixed("a", 8)], "rules", "must give out the whole amount, but leave 1"),
    (9, [Remainder("a", cap=2)], "rules", "must give out the whole amount, but leave 7"),
    (
        9,
        [Percent("a", PPM // 2), Percent("b", PPM // 2)],
        "rules",
        "must give out the whole amount, but leave 1",
    ),
]


@pytest.mark.parametrize(("amount", "rules", "field", "rule"), RULE_ERRORS)
def test_rules_refused(amount: int, rules: list[Rule[str]], field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as error:
        split_by_rules(amount, rules)
    assert (error.value.field, error.value.rule) == (field, rule)


# Small and huge numbers, so that both shortage and plenty, and both odd units and caps, are common.
AMOUNT = st.integers(0, 60) | st.integers(0, AMOUNT_MAX)
CAP = st.none() | AMOUNT
LAST = 3
PRIORITY = st.integers(0, LAST)
WEIGHT = st.integers(1, 9) | st.integers(1, 10**30)


@st.composite
def valid_rules(draw: st.DrawFn) -> list[Rule[int]]:
    """Rules that give out any amount; each rule's `to` is its place."""
    rules: list[Rule[int]] = []
    free_ppm = dict.fromkeys(range(LAST + 1), PPM)
    for to in range(draw(st.integers(0, 8))):
        cap, priority = draw(CAP), draw(PRIORITY)
        kind = draw(st.sampled_from([Fixed, Percent, Remainder]))
        if kind is Fixed:
            rules.append(Fixed(to, draw(AMOUNT), cap, priority))
        elif kind is Percent:
            share_ppm = min(draw(st.integers(0, PPM)), free_ppm[priority])
            free_ppm[priority] -= share_ppm
            rules.append(Percent(to, share_ppm, cap, priority))
        else:
            # Before the last priority it needs a cap.
            cap = cap if priority == LAST else draw(AMOUNT)
            rules.append(Remainder(to, draw(WEIGHT), cap, priority))
    return [*rules, Remainder(len(rules), draw(WEIGHT), priority=LAST)]


def claim(amount: int, rule: Rule[int]) -> int:
    """The most that a rule may get."""
    most = amount
    if isinstance(rule, Fixed):
        most = rule.amount
    elif isinstance(rule, Percent):
        most = amount * rule.share_ppm // 1_000_000
    return most if rule.cap is None else min(most, rule.cap)


def by_place(amount: int, rules: Sequence[Rule[int]]) -> list[int]:
    """The part of each rule, zeros too, and what holds for every list of parts."""
    parts = split_by_rules(amount, rules)
    places = [part.to for part in parts]
    assert places == sorted(set(places))
    assert all(part.amount > 0 for part in parts)
    assert sum(part.amount for part in parts) == amount
    found = {part.to: part.amount for part in parts}
    return [found.get(place, 0) for place in range(len(rules))]


def check_waterfall(amount: int, rules: Sequence[Rule[int]], parts: Sequence[int]) -> None:
    """A priority gets all that its rules may take before the next gets a unit."""
    left = amount
    for priority in range(LAST + 1):
        level = [i for i, rule in enumerate(rules) if rule.priority == priority]
        firm = [i for i in level if not isinstance(rules[i], Remainder)]
        taken = sum(parts[i] for i in firm)
        assert taken == min(left, sum(claim(amount, rules[i]) for i in firm))
        left -= taken
        taken = sum(parts[i] for i in level) - taken
        assert taken == min(left, sum(claim(amount, rules[i]) for i in level if i not in firm))
        left -= taken
        check_fair(amount, rules, parts, level)


def check_fair(
    amount: int, rules: Sequence[Rule[int]], parts: Sequence[int], level: Sequence[int]
) -> None:
    """In one priority nobody is ahead, by more than an odd unit, of one who could take more."""

    def weight(rule: Rule[int]) -> int:
        return rule.weight if isinstance(rule, Remainder) else claim(amount, rule)

    for i in level:
        for j in level:
            if isinstance(rules[i], Remainder) is isinstance(rules[j], Remainder):
                full = parts[j] == claim(amount, rules[j])
                ahead = (parts[i] - 1) * weight(rules[j])
                assert full or ahead < (parts[j] + 1) * weight(rules[i])


@pytest.mark.timeout(1800)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(amount=AMOUNT, more=AMOUNT, rules=valid_rules())
def test_rules_hold_for_any_amount(amount: int, more: int, rules: list[Rule[int]]) -> None:
    """Property 7: exact, within caps and claims, in order of priority, in proportion, monotone."""
    parts = by_place(amount, rules)
    assert by_place(amount, rules) == parts
    for part, rule in zip(parts, rules, strict=True):
        assert part <= claim(amount, rule)
    check_waterfall(amount, rules, parts)

    # A single part may lose an odd unit to another when the amount grows; a head of the waterfall
    # never gets less of more.
    grown = by_place(amount + more, rules)
    for priority in range(LAST + 1):
        head = [i for i, rule in enumerate(rules) if rule.priority <= priority]
        assert sum(parts[i] for i in head) <= sum(grown[i] for i in head)

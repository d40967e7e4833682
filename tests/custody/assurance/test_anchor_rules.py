"""Budget, intervals and pauses of anchoring: tables of what is decided from numbers alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.assurance.anchor_chains import ChainState, Noted
from custody.assurance.anchor_report import Interval, exceptions_of, intervals, transfer_state
from custody.assurance.anchor_rules import AnchorRules, GasBudget, from_installation
from custody.assurance.anchor_states import MOVES, OPEN, AnchorState, Last, may_start
from custody.core.errors import InvalidInput

pytestmark = pytest.mark.unit

T0 = datetime(2026, 1, 1, tzinfo=UTC)
GAS = 100


def at(seconds: int) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("quote", "spent", "objects", "bound"),
    [
        (10, 0, None, 2_000),  # the fee may double
        (30, 0, None, 5_000),  # but not beyond one anchor's bound
        (50, 0, None, 5_000),
        (51, 0, "an anchor may cost 5100 wei", 5_000),
        (10, 8_000, None, 2_000),
        (10, 8_001, "8001 of 10000 wei", 2_000),
        (50, 5_000, None, 5_000),
        (50, 5_001, "5001 of 10000 wei", 5_000),
    ],
)
def test_the_budget(quote: int, spent: int, objects: str | None, bound: int) -> None:
    budget = GasBudget(5_000, 10_000, 60)
    assert budget.bound_wei(quote, GAS) == bound
    said = budget.objection(quote, GAS, spent)
    assert (said is None) == (objects is None)
    assert objects is None or objects in str(said)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.lists(st.integers(1, 10**4), max_size=40))
def test_a_period_never_costs_more_than_its_budget(one: int, more: int, quotes: list[int]) -> None:
    """Whatever the quotes are: what may be paid at most is within both bounds."""
    budget = GasBudget(one, one + more, 60)
    spent = 0
    for quote in quotes:
        if budget.objection(quote, GAS, spent) is None:
            bound = budget.bound_wei(quote, GAS)
            assert GAS * quote <= bound <= one
            spent += bound
    assert spent <= one + more


@pytest.mark.parametrize(
    ("anchors", "field"),
    [
        ({"chains": []}, "chains"),
        ({"chains": [1, 1]}, "chains"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 2}, "quorum"),
        ({"interval_s": 0}, "interval_s"),
        ({"interval_s": 10, "deadline_s": 9}, "deadline_s"),
        ({"gas": {"2": {"anchor_max_wei": "1", "period_max_wei": "1", "period_s": 1}}}, "gas.2"),
        ({"gas": {"1": {"anchor_max_wei": "2", "period_max_wei": "1", "period_s": 1}}}, "gas.1"),
        ({"gas": {"1": {"anchor_max_wei": "0", "period_max_wei": "1", "period_s": 1}}}, "gas.1"),
    ],
)
def test_rules_that_make_no_sense(anchors: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_installation({"anchor_chain_id": 1, "anchors": anchors})
    assert refused.value.field == f"log.anchors.{field}"


def test_an_installation_of_before_has_one_chain() -> None:
    rules = from_installation({"anchor_chain_id": 7})
    assert (rules.chains, rules.quorum, rules.budget(7)) == ((7,), 1, GasBudget())
    with_gas = {"7": {"anchor_max_wei": "5", "period_max_wei": "9", "period_s": 60}}
    told = {"chains": [7, 8], "quorum": 2, "interval_s": 5, "deadline_s": 20, "gas": with_gas}
    rules = from_installation({"anchor_chain_id": 7, "anchors": told})
    assert (rules.chains, rules.quorum, rules.interval_s, rules.deadline_s) == ((7, 8), 2, 5, 20)
    assert (rules.budget(7), rules.budget(8)) == (GasBudget(5, 9, 60), GasBudget())


def test_every_state_ends_or_goes_on() -> None:
    assert set(MOVES) == set(AnchorState)
    assert {s for s in AnchorState if not MOVES[s]} == {AnchorState.FORKED, AnchorState.FAILED}
    for state in OPEN:
        assert AnchorState.ANCHORED in MOVES[state]
        assert AnchorState.FAILED in MOVES[state]


@pytest.mark.parametrize(
    ("started", "failed", "under_way", "expected"),
    [
        (None, None, False, True),
        (None, None, True, False),
        (399, None, False, True),
        (401, None, False, False),
        (None, 939, False, True),  # after a failure a minute is enough
        (None, 941, False, False),
        (401, 900, False, False),
    ],
)
def test_pauses(started: int | None, failed: int | None, under_way: bool, expected: bool) -> None:
    times = (None if t is None else at(t) for t in (started, failed))
    found = Last(0, None, None, None, under_way, *times)
    assert may_start(found, 600, at(1_000)) is expected


def kept(made: list[Interval], quorum: int) -> list[bool]:
    return [i.chains_done >= quorum for i in made]


def test_intervals_count_what_was_signed_before_them() -> None:
    """100 s apart, 150 s to be final; signed: 5 at 50, 9 at 120; chain 1 keeps up, 2 is slow."""
    rules = AnchorRules((1, 2), 2, 100, 150)
    heads = [(at(50), 5), (at(120), 9)]
    anchored = {1: [(at(130), 5), (at(210), 9)], 2: [(at(249), 5), (at(400), 9)]}
    made = intervals(rules, T0, at(400), heads, anchored)
    assert [i.size for i in made] == [0, 5, 9, 9]
    assert [dict(i.in_time) for i in made] == [
        {1: 5, 2: 0},
        {1: 9, 2: 5},
        {1: 9, 2: 5},
        {1: 9, 2: 9},
    ]
    assert kept(made, 2) == [True, True, False, True]
    assert [i.before for i in made] == [0, 0, 0, 5]
    assert (
        kept(intervals(AnchorRules((1, 2), 1, 100, 150), T0, at(400), heads, anchored), 1)
        == [True] * 4
    )


def test_a_moment_late_is_late() -> None:
    rules, heads = AnchorRules((1,), 1, 100, 100), [(at(-1), 3)]
    for final, good in ((99, True), (100, False)):
        (one,) = intervals(rules, T0, at(100), heads, {1: [(at(final), 3)]})
        assert kept([one], 1) == [good]
    (one,) = intervals(rules, T0, at(100), heads, {1: [(at(50), 2)]})
    assert kept([one], 1) == [False], "an anchor of less is none of this"


def noted(state: ChainState, reason: str | None = None) -> Noted:
    return Noted(1, state, reason, T0, T0, 5, 90, 80)


@pytest.mark.parametrize(
    ("chains", "forks", "missed", "told"),
    [
        ({1: noted(ChainState.OPEN)}, 0, 0, []),
        ({}, 0, 0, ["never looked at"]),
        ({1: noted(ChainState.WAITING, "gas: dear")}, 0, 0, ["chain 1 is waiting: gas: dear"]),
        ({1: noted(ChainState.FORKED, "r")}, 2, 3, ["2 forks", "is forked", "3 intervals"]),
    ],
)
def test_exceptions(chains: dict[int, Noted], forks: int, missed: int, told: list[str]) -> None:
    said = exceptions_of(AnchorRules((1,)), chains, forks, missed)
    assert len(said) == len(told)
    assert all(part in text for part, text in zip(told, said, strict=True))


@pytest.mark.parametrize(
    ("intent", "number", "expected"),
    [("sent", None, "sent"), ("mined", 91, "mined"), ("mined", 90, "safe"), ("final", 80, "final")],
)
def test_how_far_a_transfer_is(intent: str, number: int | None, expected: str) -> None:
    assert transfer_state(intent, number, noted(ChainState.OPEN)) == expected

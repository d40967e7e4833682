"""The closed table of tolerances, and which lines of a report stop an asset."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.assurance import tolerance
from custody.assurance.lines import Line, with_moved
from custody.assurance.tolerance import Place

pytestmark = pytest.mark.unit

COIN = 10**18
# (place, ledger, decimals, silent, difference) -> (is a break, stops)
CASES = [
    ((Place.WALLET, 5, 6, False, -1), (True, True)),
    ((Place.WALLET, 5, 6, False, 1), (True, True)),
    ((Place.WALLET, 5, 18, True, 1), (True, False)),
    ((Place.WALLET, 5, 18, True, -1), (True, True)),
    ((Place.WALLET, 5, 6, False, 0), (False, False)),
    ((Place.DEPOSIT, 5, 6, False, -1), (True, True)),
    ((Place.DEPOSIT, 5, 6, False, 1), (True, False)),
    ((Place.UNWATCHED, 5, 6, False, -1), (True, True)),
    ((Place.UNWATCHED, 5, 6, False, 1), (True, False)),
    ((Place.VENUE, 5, 6, False, -1), (True, True)),
    ((Place.VENUE, 5, 6, False, 1), (True, True)),
    ((Place.IN_FLIGHT, 0, 6, False, 1), (True, True)),
    ((Place.HOLD, 0, 6, False, -1), (True, True)),
    ((Place.MEASURED, 5, 6, False, -1), (True, True)),
    ((Place.MEASURED, 5, 6, False, 1), (True, False)),
    # An exchange prints eight decimals, and pays rewards at any moment.
    ((Place.EXCHANGE, 5, 6, False, -1), (True, True)),
    ((Place.EXCHANGE, COIN, 18, False, -(10**10 - 1)), (False, False)),
    ((Place.EXCHANGE, COIN, 18, False, -(10**10)), (True, True)),
    ((Place.EXCHANGE, 200 * COIN, 18, False, 2 * COIN), (False, False)),
    ((Place.EXCHANGE, 200 * COIN, 18, False, 2 * COIN + 1), (True, True)),
    ((Place.EXCHANGE, 0, 6, False, 10_000), (False, False)),
    ((Place.EXCHANGE, 0, 6, False, 10_001), (True, True)),
]


@pytest.mark.parametrize(("case", "expected"), CASES)
def test_the_table(case: tuple[Place, int, int, bool, int], expected: tuple[bool, bool]) -> None:
    place, ledger, decimals, silent, difference = case
    rule = tolerance.rule_of(place, ledger=ledger, decimals=decimals, silent=silent)
    found = tolerance.is_break(rule, difference), tolerance.stops(rule, difference)
    assert found == expected


def test_every_place_is_in_the_table() -> None:
    assert {case[0] for case, _ in CASES} == set(Place)


@given(st.sampled_from(Place), st.integers(0, 10**30), st.booleans(), st.integers(1, 10**30))
def test_what_is_missing_stops_beyond_what_an_exchange_rounds(
    place: Place, ledger: int, silent: bool, missing: int
) -> None:
    """Nothing hides a shortfall, but that an exchange rounds."""
    rule = tolerance.rule_of(place, ledger=ledger, decimals=18, silent=silent)
    small = place is Place.EXCHANGE and missing < 10**10
    assert tolerance.stops(rule, -missing) is not small


def _line(place: Place = Place.WALLET, difference: int = -1, **more: object) -> Line:
    line = Line("asset:x", "a", place.value, 9, 100, 100 + difference, place=place)
    return replace(line, **more)  # type: ignore[arg-type]


def test_an_accepted_difference_is_none_and_any_other_is_a_break() -> None:
    assert not _line(accepted=-1).broken
    assert _line(difference=-2, accepted=-1).broken
    assert _line(difference=-1, accepted=-2).broken
    assert not _line(difference=0, accepted=-1).broken, "it is as if it had never been"
    gone = _line(difference=0, accepted=1)
    assert (gone.broken, gone.stops) == (True, True), "what made up for something has gone"


_LINES = st.lists(st.tuples(st.sampled_from([Place.WALLET, Place.DEPOSIT, Place.UNWATCHED,
                                             Place.VENUE]),
                            st.integers(-9, 9), st.integers(-9, 9)))  # fmt: skip


@given(_LINES)
def test_where_nothing_is_broken_no_more_lacks_in_all_than_people_have_accepted(
    found: list[tuple[Place, int, int]],
) -> None:
    lines = [_line(place, difference, accepted=accepted) for place, difference, accepted in found]
    fine = [x for x in lines if not x.broken]
    assert sum(x.difference or 0 for x in fine) >= sum(x.accepted for x in fine)


@pytest.mark.parametrize(
    ("ledger", "decimals", "used", "may"),
    [
        (10**6, 6, 0, 10**4),
        (10**6, 6, 4_000, 6_000),
        (10**6, 6, 10_000, 10),
        (10**6, 6, 20_000, 10),
        (5, 18, 0, 10**10),
        (-5, 6, 0, 10),
    ],
)
def test_a_measured_token_may_lose_a_hundredth_a_day(
    ledger: int, decimals: int, used: int, may: int
) -> None:
    assert tolerance.may_shrink(ledger, decimals, used) == may
    rule = tolerance.rule_of(
        Place.MEASURED, ledger=ledger, decimals=decimals, silent=False, may_shrink=may
    )
    assert (tolerance.stops(rule, -may), tolerance.stops(rule, -may - 1)) == (False, True)


@given(st.lists(st.integers(1, 10**5), max_size=8), st.integers(10**6, 10**12))
def test_many_small_losses_take_no_more_than_one_large_one(lost: list[int], ledger: int) -> None:
    used, there = 0, ledger
    for amount in lost:
        if amount <= tolerance.may_shrink(there, 6, used):
            used += tolerance.lost_ppm(amount, there) if amount > tolerance.rounding(6) else 0
            there -= amount
    least = len(lost) * tolerance.rounding(6)
    assert ledger - there <= ledger * tolerance.SHRINK_PPM // tolerance.PPM + least


def test_what_an_exchange_sends_may_be_there_before_it_is_booked() -> None:
    guard = _line(Place.UNWATCHED, 5, coming=5)
    assert not guard.broken
    assert replace(guard, coming=4).broken
    assert replace(guard, there=99).broken, "nothing that comes explains what is missing"


def test_a_place_that_could_not_be_read_is_no_break() -> None:
    line = _line(there=None)
    assert (line.difference, line.broken, line.stops) == (None, False, False)


def _swept(short: int, over: int) -> list[Line]:
    address = replace(_line(Place.DEPOSIT, -short), code="asset:deposit:0x1@1")
    other = replace(address, code="asset:deposit:0x2@1", there=100)
    treasury = replace(_line(Place.WALLET, over), code="asset:treasury@1")
    return with_moved([address, other, treasury])


def test_what_strangers_swept_into_the_treasury_stops_nothing() -> None:
    assert [(x.broken, x.stops) for x in _swept(5, 5)] == [
        (True, False),
        (False, False),
        (True, False),
    ]


@given(st.integers(1, 100), st.integers(-50, 100))
def test_but_only_to_the_unit(short: int, over: int) -> None:
    found = _swept(short, over)
    assert any(x.stops for x in found) is (short != over)

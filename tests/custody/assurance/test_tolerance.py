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
    ((Place.MEASURED, 5, 6, False, -1), (True, False)),
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
    """Nothing hides a shortfall, but that an exchange rounds and that a token shrinks by itself."""
    rule = tolerance.rule_of(place, ledger=ledger, decimals=18, silent=silent)
    small = place is Place.EXCHANGE and missing < 10**10
    assert tolerance.stops(rule, -missing) is (place is not Place.MEASURED and not small)


def _line(place: Place = Place.WALLET, difference: int = -1, **more: object) -> Line:
    line = Line("asset:x", "a", place.value, 9, 100, 100 + difference, place=place)
    return replace(line, **more)  # type: ignore[arg-type]


def test_an_accepted_difference_is_none_and_any_other_is_a_break() -> None:
    assert not _line(accepted=-1).broken
    assert _line(difference=-2, accepted=-1).broken
    assert _line(difference=-1, accepted=-2).broken
    assert not _line(difference=0, accepted=-1).broken, "it is as if it had never been"


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

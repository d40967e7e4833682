"""Settings of sweeping: strict, with the field named; and how long a failure is left alone."""

from datetime import timedelta
from typing import Any

import pytest

from custody.core.errors import InvalidInput
from custody.deposits.sweeping.gas import OSAKA, PRAGUE
from custody.deposits.sweeping.rows import pause
from custody.deposits.sweeping.rules import SweepRules, by_chain

pytestmark = pytest.mark.unit


def test_what_is_not_said_has_its_default() -> None:
    assert by_chain({}) == {}
    assert by_chain({"1": {}}) == {1: SweepRules()}
    told = by_chain({"1": {"fork": "osaka", "amount_min": {"a": "5"}, "gas_day_max_wei": "7"}})[1]
    assert (told.table, dict(told.amount_min), told.gas_day_max_wei) == (OSAKA, {"a": 5}, 7)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"x": {}}, "sweeping"),
        ({"1": []}, "sweeping"),
        ({"1": {"forks": "prague"}}, "sweeping.1.forks"),
        ({"1": {"fork": "london"}}, "sweeping.1.fork"),
        ({"1": {"batch_max": 201}}, "sweeping.1.batch_max"),
        ({"1": {"batch_min": 0}}, "sweeping.1.batch_min"),
        ({"1": {"further_sweeps": True}}, "sweeping.1.further_sweeps"),
        ({"1": {"worth_multiple": "3"}}, "sweeping.1.worth_multiple"),
        ({"1": {"gas_day_max_wei": 5}}, "sweeping.1.gas_day_max_wei"),
        ({"1": {"leave_dust": "yes"}}, "sweeping.1.leave_dust"),
        ({"1": {"amount_min": {"a": "0"}}}, "sweeping.1.amount_min.a"),
        ({"1": {"amount_min": []}}, "sweeping.1.amount_min"),
    ],
)
def test_a_bad_setting_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        by_chain(body)
    assert caught.value.field == field


def test_a_fault_that_comes_back_is_left_alone_for_longer() -> None:
    waits = [pause(n) for n in range(9)]
    assert waits[:4] == [timedelta(0), timedelta(0), timedelta(minutes=1), timedelta(minutes=4)]
    assert waits == sorted(waits)
    assert pause(1_000) == timedelta(days=1)


def test_a_batch_of_two_hundred_fits_into_a_block_with_room_to_spare() -> None:
    assert PRAGUE.hub_limit(200, 200) < 2**24
    assert OSAKA.hub_wallets_max(500) < 500

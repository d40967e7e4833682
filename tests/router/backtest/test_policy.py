"""The policy of a backtest: each field's rule, and what it turns into."""

import pytest

from custody.core.errors import InvalidInput
from router.backtest import policy
from router.backtest.panel import MICRO
from router.backtest.rules import Costs, Group, Rules
from router.curves import RAY
from router.tiers import WAD
from tests.router.backtest.panels import A, panel

pytestmark = pytest.mark.unit

S = {"schema": "moorage.backtest/1"}
GROUP = {"name": "g", "venues": ["a:USDC"], "share_max": "0.5"}


def test_a_whole_policy() -> None:
    read = policy.parse(
        S
        | {"share_max": "0.6", "venues": {"a:USDC": "0.25"}, "groups": [GROUP]}
        | {"withdrawable_multiple": 5, "utilisation_max": "0.9", "frozen_days": 7}
        | {"leg_usd": 3, "swap_bps": 1}
    )
    assert read.rules == Rules(
        WAD * 6 // 10,
        {"a:USDC": WAD // 4},
        (Group("g", frozenset({"a:USDC"}), WAD // 2),),
        5,
        RAY * 9 // 10,
        7,
    )
    assert read.costs == Costs(3 * MICRO, 1)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "policy"),
        ({}, "schema"),
        (S | {"extra": 1}, "extra"),
        (S | {"share_max": 0.5}, "share_max"),
        (S | {"share_max": "1.1"}, "share_max"),
        (S | {"venues": []}, "venues"),
        (S | {"venues": {"a:USDC": "-1"}}, "venues.a:USDC"),
        (S | {"groups": {}}, "groups"),
        (S | {"groups": [{}]}, "groups[0]"),
        (S | {"groups": [GROUP | {"name": ""}]}, "groups[0].name"),
        (S | {"groups": [GROUP | {"venues": [1]}]}, "groups[0].venues"),
        (S | {"withdrawable_multiple": 0}, "withdrawable_multiple"),
        (S | {"withdrawable_multiple": True}, "withdrawable_multiple"),
        (S | {"utilisation_max": "95%"}, "utilisation_max"),
        (S | {"frozen_days": 1}, "frozen_days"),
        (S | {"leg_usd": -1}, "leg_usd"),
        (S | {"swap_bps": "2"}, "swap_bps"),
    ],
)
def test_a_bad_field_is_named(document: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        policy.parse(document)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"venues": {"z:USDC": "1"}}, "venues.z:USDC"),
        ({"groups": [GROUP | {"venues": ["z:USDC"]}]}, "groups.g"),
    ],
)
def test_a_limit_for_a_venue_that_is_not_there(body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        policy.check_venues(policy.parse(S | body), panel([1], venues=(A,)))
    assert caught.value.field == field

"""The policy document: every broken field is named, with the rule it breaks."""

import copy
from typing import Any

import pytest

from custody.core.errors import InvalidInput
from router.policy import hash_of, parse
from router.tiers import WAD, Tier

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {
    "schema": "moorage.risk/1",
    "pool": "poo_" + "0" * 32,
    "version": 1,
    "previous": None,
    "tiers": [
        {"name": "cash", "share_max": "1", "venues": ["aave-usdc"]},
        {"name": "strategies", "share_max": "0.20", "venues": ["exchange-usdc"]},
    ],
    "venues": [
        {"id": "aave-usdc", "cap": "1000", "share_max": "0.8"},
        {"id": "exchange-usdc", "cap": "500", "share_max": "0.123456789012345678"},
    ],
    "liquidity_buffer_share": "0.10",
    "rebalance": {"horizon_s": 2592000, "min_gain": "10", "ticket": "100"},
}
GONE = object()


def broken(path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    at: Any = body
    for name in parents:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is GONE:
        del at[last]
    else:
        at[int(last) if last.isdigit() else last] = value
    return body


def test_good_document() -> None:
    policy = parse(GOOD)
    assert policy.limits.tiers == {Tier.CASH: WAD, Tier.STRATEGIES: WAD // 5}
    assert policy.limits.venues["exchange-usdc"].share_max_wad == 123456789012345678
    assert policy.tier is Tier.STRATEGIES
    assert policy.hash == hash_of(GOOD)
    assert parse({**GOOD, "version": 2, "previous": policy.hash}).previous == policy.hash


@pytest.mark.parametrize(
    ("path", "value", "field", "rule"),
    [
        ("schema", GONE, "schema", "is missing"),
        ("schema", "moorage.risk/3", "schema", "must be moorage.risk/1 or moorage.risk/2"),
        ("surprise", 1, "surprise", "is not a field of moorage.risk/1"),
        ("version", "1", "version", "whole number"),
        ("version", True, "version", "whole number"),
        ("version", 2, "previous", "only version 1"),
        ("previous", "sha256:00", "previous", "version 1 has no previous"),
        ("tiers", [], "tiers", "at least one"),
        ("tiers.0.name", "gold", "tiers[0].name", "must be cash"),
        ("tiers.1.name", "cash", "tiers[1].name", "listed once"),
        ("tiers.0.share_max", GONE, "tiers[0].share_max", "is missing"),
        ("tiers.0.share_max", "1.01", "tiers[0].share_max", "from 0 to 1"),
        ("tiers.0.share_max", 0.5, "tiers[0].share_max", "decimal string"),
        ("tiers.0.share_max", "-0.1", "tiers[0].share_max", "from 0 to 1"),
        ("tiers.1.venues", ["aave-usdc"], "tiers[1].venues[0]", "in one tier"),
        ("venues.0.cap", 1000, "venues[0].cap", "string of decimal digits"),
        ("venues.0.cap", "1e3", "venues[0].cap", "whole number"),
        ("venues.0.share_max", "2", "venues[0].share_max", "from 0 to 1"),
        ("venues.0.id", "other", "venues[0].id", "must be in a tier"),
        ("venues.0.extra", 1, "venues[0].extra", "is not a field"),
        ("liquidity_buffer_share", "1.5", "liquidity_buffer_share", "from 0 to 1"),
        ("rebalance", GONE, "rebalance", "is missing"),
        ("rebalance.horizon_s", 0, "rebalance.horizon_s", "whole number from 1"),
        ("rebalance.ticket", "0", "rebalance.ticket", "at least 1"),
        ("spread_bps", 5001, "spread_bps", "whole number from 0 to 5000"),
    ],
)
def test_bad_field_is_named_with_its_rule(path: str, value: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(broken(path, value))
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_venue_without_a_cap_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no cap"):
        parse(broken("venues", GOOD["venues"][:1]))

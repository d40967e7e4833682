"""Schema moorage.risk/2: every broken place is named with its rule."""

from typing import Any

import pytest

from custody.core.errors import InvalidInput
from router.curves import RAY
from router.policy import hash_of, parse
from router.risk.terms import By, Gate
from router.tiers import WAD, Tier
from tests.router.risk.documents import GONE, GOOD, Path, card, changed, named, places, venue
from tests.router.test_policy import GOOD as FIRST_SCHEMA

pytestmark = pytest.mark.unit

PLACES = places()
FIELDS = [p for p, _ in PLACES if isinstance(p[-1], str)]
OBJECTS = [p for p, value in PLACES if isinstance(value, dict)]
FREE = ("previous", "oracle", "cap", "share_max", "turnover_share_max", "gas_max")
"""Null is a value of these."""


def test_a_whole_document() -> None:
    policy = parse(GOOD)
    terms = policy.terms
    assert terms is not None
    assert policy.hash == hash_of(GOOD)
    assert policy.limits.tiers == {Tier.CASH: WAD, Tier.STRATEGIES: WAD // 5}
    assert (policy.rebalance.gas_max, policy.rebalance.slippage_max_bps) == (50, 30)
    assert terms.turnover_share_wad == WAD // 4
    assert terms.horizons_s() == (3600, 86400, 432000)
    assert next((g.by, g.amount_max) for g in terms.groups) == (By.PROTOCOL, 500)
    assert terms.cards["aave-usdc"].gates == frozenset()
    assert terms.entry["aave-usdc"].rate_max_ray == RAY
    assert terms.cards["exchange-usdc"].oracle is None


@pytest.mark.parametrize("path", FIELDS, ids=named)
def test_every_missing_field_is_named(path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(changed(path, GONE))
    assert (caught.value.field, caught.value.rule) == (named(path), "is missing")


@pytest.mark.parametrize("path", OBJECTS, ids=named)
def test_every_extra_field_is_named(path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(changed((*path, "surprise"), 1))
    assert caught.value.field == f"{named(path)}.surprise"
    assert caught.value.rule == "is not a field of moorage.risk/2"


@pytest.mark.parametrize("wrong", [1.5, None, [[]]], ids=["number", "null", "list"])
@pytest.mark.parametrize("path", [p for p, _ in PLACES], ids=named)
def test_every_ill_typed_value_is_named(path: Path, wrong: Any) -> None:
    if wrong is None and path[-1] in (*FREE, "slippage_max_bps"):
        pytest.skip("null says that there is none")
    with pytest.raises(InvalidInput) as caught:
        parse(changed(path, wrong))
    assert caught.value.field.startswith(named(path)), caught.value.rule


FIRST = ("venues", 0, "card")


@pytest.mark.parametrize(
    ("path", "value", "field", "rule"),
    [
        (("delay_s",), -1, "delay_s", "whole number from 0"),
        (("scoring", "weights_bps", "market"), 1999, "scoring.weights_bps", "must sum to 10000"),
        (("scoring", "score_max", "bonds"), 19, "scoring.score_max.bonds", "from 20 to 100"),
        (("scoring", "gates", "no_audit"), "gold", "scoring.gates.no_audit", "or barred"),
        ((*FIRST, "ratings", "market"), 101, "venues[0].card.ratings.market", "from 0 to 100"),
        ((*FIRST, "gates", "no_audit"), 1, "venues[0].card.gates.no_audit", "true or false"),
        ((*FIRST, "facts", "kind"), "*", "venues[0].card.facts.kind", "must not be *"),
        ((*FIRST, "facts", "issuers"), ["a", "a"], "venues[0].card.facts.issuers", "once"),
        (("venues", 0, "rules", "size_min"), "1000001", "venues[0].rules.size_min", "cap"),
        (("venues", 0, "rules", "rate_max"), "100", "venues[0].rules.rate_max", "from 0 to 99"),
        (("venues", 0, "rules", "rate_age_max_s"), 0, "venues[0].rules.rate_age_max_s", "from 1"),
        (("groups", 0, "by"), "colour", "groups[0].by", "must be protocol"),
        (("groups", 0, "value"), "morpho", "groups[0].value", "no venue has morpho"),
        (("groups", 0, "cap"), None, "groups[0]", "a cap, a share_max or both"),
        (("groups", 1), GOOD["groups"][0], "groups[1].value", "listed once"),
        (("liquidity", "quantile"), "0", "liquidity.quantile", "above 0 and below 1"),
        (("liquidity", "quantile"), "1", "liquidity.quantile", "above 0 and below 1"),
        (("liquidity", "ladder", 1, "horizon_s"), 3600, "liquidity.ladder[1].horizon_s", "3601"),
        (("lockups", 1, "over_s"), 86400, "lockups[1].over_s", "from 86401"),
        (("stress", "freezes_s"), [5, 5], "stress.freezes_s[1]", "from 6"),
        (("stress", "depegs", 0, "issuer"), "tether", "stress.depegs[0].issuer", "no venue has"),
        (("stress", "depegs", 0, "drop"), "0", "stress.depegs[0].drop", "above 0"),
    ],
)
def test_bad_values(path: Path, value: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(changed(path, value))
    assert caught.value.field == field
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    ("guard", "field", "rule"),
    [
        ([], "guard", "must be an object"),
        ({"surprise": 1}, "guard.surprise", "is not a field of moorage.risk/2"),
        ({"utilisation_max": "1.1"}, "guard.utilisation_max", "from 0 to 1"),
        ({"cover_min": 1}, "guard.cover_min", "decimal string"),
        ({"depeg_max_bps": 10_001}, "guard.depeg_max_bps", "from 0 to 10000"),
        ({"jump_max_bps": "5000"}, "guard.jump_max_bps", "from 0 to 10000"),
        ({"block_age_max_s": 0}, "guard.block_age_max_s", "from 1"),
    ],
)
def test_bounds_of_the_guard(guard: Any, field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse({**GOOD, "guard": guard})
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_the_guard_is_a_field_of_the_second_schema_alone() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse({**FIRST_SCHEMA, "guard": {}})
    assert (caught.value.field, caught.value.rule) == (
        "guard", "is not a field of moorage.risk/1")  # fmt: skip
    assert parse({**GOOD, "guard": {}}).guard.utilisation_max_wad == WAD * 95 // 100


def test_lists_that_may_be_empty() -> None:
    body = GOOD
    for path in (("groups",), ("lockups",), ("liquidity", "ladder"), ("stress", "freezes_s"),
                 ("stress", "depegs"), (*FIRST, "facts", "issuers")):  # fmt: skip
        body = changed(path, [], body) if path[0] != "venues" else body
    terms = parse(body).terms
    assert terms is not None
    assert terms.horizons_s() == ()


@pytest.mark.parametrize(
    ("facts", "tier", "rule"),
    [
        ({"rating": 21}, "cash", "aave-usdc is of tier bonds: score 21; it may not stand in cash"),
        ({"gates": ["single_key"]}, "bonds", "is of tier staking: single_key, score 10"),
        ({"gates": ["unverified_source"]}, "strategies", "no tier: unverified_source bars it"),
        ({"rating": 81}, "strategies", "no tier: score 81 is above that of every tier"),
    ],
)
def test_a_venue_in_a_tier_safer_than_its_card(facts: Any, tier: str, rule: str) -> None:
    body = changed(("venues", 0), venue("aave-usdc", **facts))
    tiers = [{"name": tier, "share_max": "1", "venues": ["aave-usdc", "exchange-usdc"]}]
    body = changed(("groups",), [], changed(("tiers",), tiers, body))
    with pytest.raises(InvalidInput) as caught:
        parse(body)
    assert caught.value.field == "tiers[0].venues[0]"
    assert rule in caught.value.rule


def test_a_venue_may_stand_in_a_riskier_tier() -> None:
    parse(changed(("venues", 1, "card"), card(rating=0), GOOD))
    terms = parse(changed(("venues", 1, "card"), card(gates=["single_key"]))).terms
    assert terms is not None
    assert terms.cards["exchange-usdc"].gates == {Gate.SINGLE_KEY}

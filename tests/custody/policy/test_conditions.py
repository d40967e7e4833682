"""Every condition: where it holds, where it does not, and where it cannot be told."""

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from custody.core.errors import InvalidInput
from custody.core.facts import DAY_S, HOUR_S, Book, Code, Facts, Moved, Scope
from custody.core.ids import format_id
from custody.core.intents import IntentKind, Outcome
from custody.core.money import AssetId
from custody.core.prices import Price, ReferencePrice
from custody.policy.conditions import looks_like
from custody.policy.document import Group, Policy, parse
from custody.policy.evaluate import Verdict, conclude, evaluate
from tests.custody.policy.documents import CHAIN, OTHER_ASSET, TOKEN_ASSET, address, document
from tests.custody.policy.test_evaluate import intent

pytestmark = pytest.mark.unit

ASKED, OTHER = UUID(int=0x70_0000), UUID(int=0x70_0001)
AT = datetime(2026, 1, 1, tzinfo=UTC)
DOLLAR = ReferencePrice(
    Price(AssetId(TOKEN_ASSET), "USD", 2, 0, "feed.a", AT, None),
    Price(AssetId(TOKEN_ASSET), "USD", 2, 0, "feed.b", AT, 7),
)
"""Two dollars a base unit; the intent of five is worth ten."""
QUIET = {(scope, length): Moved(0, 0) for scope in Scope for length in (HOUR_S, DAY_S)}
KNOWN = Facts(
    initiator=ASKED,
    initiator_role="clerk",
    book=Book.ACTIVE,
    code=Code.ACCOUNT,
    look_alike=False,
    balance=1_000,
    moved=QUIET,
    price=DOLLAR,
)


def rule(effect: str, when: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": effect,
        "effect": effect,
        "kind": "payout",
        "asset": TOKEN_ASSET,
        "when": when,
        "quorum": [],
        **changes,
    }


def policy(*rules: dict[str, Any]) -> Policy:
    named = [{**r, "name": f"{r['name']}-{i}"} for i, r in enumerate(rules)]
    return parse({**document(), "schema": "moorage.policy/2", "rules": named})


def window(amount: int | None, count: int | None, scope: str = "global") -> dict[str, Any]:
    text = None if amount is None else str(amount)
    return {"scope": scope, "window_s": HOUR_S, "amount_max": text, "count_max": count}


def moved(amount: int, count: int, scope: Scope = Scope.TENANT) -> dict[str, Any]:
    return {"moved": {**QUIET, (scope, HOUR_S): Moved(amount, count)}}


def usd(amount: int) -> dict[str, str]:
    return {"currency": "USD", "amount": str(amount)}


UNKNOWN = None
CASES: list[tuple[str, Any, dict[str, Any], bool | None]] = [
    ("amount_max", "5", {}, True),
    ("amount_max", "4", {}, False),
    ("amount_above", "4", {}, True),
    ("amount_above", "5", {}, False),
    ("destination", [address(9), address(10)], {}, True),
    ("destination", [address(10)], {}, False),
    ("book", ["active"], {}, True),
    ("book", ["active", "cooling"], {"book": Book.COOLING}, True),
    ("book", ["active"], {"book": Book.COOLING}, False),
    ("book", ["active"], {"book": Book.ABSENT}, False),
    ("book", ["absent"], {"book": None}, UNKNOWN),
    ("code", ["account"], {}, True),
    ("code", ["account"], {"code": Code.CONTRACT}, False),
    ("code", ["account"], {"code": None}, UNKNOWN),
    ("look_alike", False, {}, True),
    ("look_alike", True, {}, False),
    ("look_alike", True, {"look_alike": True}, True),
    ("look_alike", False, {"look_alike": None}, UNKNOWN),
    ("initiator", [format_id("person", ASKED)], {}, True),
    ("initiator", [format_id("person", OTHER)], {}, False),
    ("initiator", [format_id("person", ASKED)], {"initiator": None}, UNKNOWN),
    ("initiator_role", ["clerk", "board"], {}, True),
    ("initiator_role", ["board"], {}, False),
    ("initiator_role", ["clerk"], {"initiator_role": None}, UNKNOWN),
    ("velocity_within", [window(100, None)], moved(95, 9), True),
    ("velocity_within", [window(100, None)], moved(96, 9), False),
    ("velocity_within", [window(None, 3)], moved(0, 2), True),
    ("velocity_within", [window(None, 3)], moved(0, 3), False),
    ("velocity_within", [window(5, 1, "destination")], moved(999, 99), True),
    ("velocity_within", [window(5, 1, "destination")], moved(1, 0, Scope.DESTINATION), False),
    ("velocity_within", [window(100, None)], {"moved": None}, UNKNOWN),
    ("velocity_within", [window(100, None)], {"moved": {}}, UNKNOWN),
    ("velocity_above", [window(100, None)], moved(95, 9), False),
    ("velocity_above", [window(100, None), window(None, 3)], moved(0, 3), True),
    ("velocity_above", [window(100, None)], {"moved": None}, UNKNOWN),
    ("share_max_bps", 50, {}, True),
    ("share_max_bps", 49, {}, False),
    ("share_max_bps", 10_000, {"balance": 0}, False),
    ("share_max_bps", 50, {"balance": None}, UNKNOWN),
    ("share_above_bps", 49, {}, True),
    ("share_above_bps", 50, {}, False),
    ("share_above_bps", 50, {"balance": None}, UNKNOWN),
    ("value_max", usd(10_000_000), {}, True),
    ("value_max", usd(9_999_999), {}, False),
    ("value_max", usd(10_000_000), {"price": None}, UNKNOWN),
    ("value_max", {"currency": "EUR", "amount": "10000000"}, {}, UNKNOWN),
    ("value_above", usd(9_999_999), {}, True),
    ("value_above", usd(10_000_000), {}, False),
    ("value_above", usd(10_000_000), {"price": None}, UNKNOWN),
]


@pytest.mark.parametrize(("name", "operand", "change", "holds"), CASES)
def test_condition(name: str, operand: Any, change: dict[str, Any], holds: bool | None) -> None:
    """What holds applies; what does not is passed over; what cannot be told refuses. Both ways."""
    facts, when = replace(KNOWN, **change), {name: operand}
    unknown = (name,) if holds is None else ()
    allowing = evaluate(policy(rule("allow", when)), intent(), facts)
    outcome = Outcome.ALLOW if holds else Outcome.REFUSE
    name_of = "default_deny" if holds is False else "allow-0"
    assert allowing == Verdict(outcome, name_of, unknown=unknown)
    denying = evaluate(policy(rule("deny", when), rule("allow", {})), intent(), facts)
    if holds is False:
        assert denying == Verdict(Outcome.ALLOW, "allow-1")
    else:
        assert denying == Verdict(Outcome.REFUSE, "deny-0", unknown=unknown)


def test_deny_wins_wherever_it_stands() -> None:
    assert evaluate(policy(rule("allow", {}), rule("deny", {})), intent(), KNOWN).rule == "deny-1"


def test_deny_of_any_kind_and_asset() -> None:
    everything = rule("deny", {}, kind="*", asset="*")
    assert evaluate(policy(rule("allow", {}), everything), intent(), KNOWN).rule == "deny-1"
    other = rule("deny", {}, asset=OTHER_ASSET)
    assert evaluate(policy(other, rule("allow", {})), intent(), KNOWN).rule == "allow-1"
    kind = rule("deny", {}, kind="release")
    assert evaluate(policy(kind, rule("allow", {})), intent(), KNOWN).rule == "allow-1"


def test_a_condition_that_fails_settles_it_whatever_is_unknown() -> None:
    """All conditions must hold: one that fails tells, before or after one that cannot be told."""
    when = {"amount_max": "4", "book": ["active"], "value_max": usd(1)}
    blind = replace(KNOWN, book=None, price=None)
    assert evaluate(policy(rule("allow", when)), intent(), blind).rule == "default_deny"
    when["amount_max"] = "5"
    verdict = evaluate(policy(rule("allow", when), rule("allow", {})), intent(), blind)
    assert verdict == Verdict(Outcome.REFUSE, "allow-0", unknown=("book", "value_max"))


GROUPS = Verdict(
    Outcome.NEEDS_APPROVAL, "r", (Group(("treasury",), 2), Group(("board", "legal"), 1))
)
A, B, C, D = (UUID(int=n) for n in range(1, 5))


@pytest.mark.parametrize(
    ("approvers", "initiator", "outcome"),
    [
        ({A: "treasury", B: "treasury", C: "legal"}, None, Outcome.ALLOW),
        ({A: "treasury", B: "treasury", C: "legal"}, D, Outcome.ALLOW),
        ({A: "treasury", B: "treasury", C: "legal"}, A, Outcome.NEEDS_APPROVAL),
        ({A: "treasury", B: "treasury", C: "legal", D: "treasury"}, A, Outcome.ALLOW),
        ({A: "treasury", B: "treasury", D: "treasury"}, None, Outcome.NEEDS_APPROVAL),
        ({A: "treasury", C: "board", D: "legal"}, None, Outcome.NEEDS_APPROVAL),
    ],
)
def test_every_group_is_needed_and_who_asked_is_barred(
    approvers: dict[UUID, str], initiator: UUID | None, outcome: Outcome
) -> None:
    """Property 15."""
    assert conclude(GROUPS, approvers, initiator) is outcome


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"effect": "perhaps"}, "rules[0].effect"),
    ({"kind": "*"}, "rules[0].kind"),
    ({"when": []}, "rules[0].when"),
    ({"when": {"code_of_user": "x"}}, "rules[0].when.code_of_user"),
    ({"when": {"amount_max": 5}}, "rules[0].when.amount_max"),
    ({"when": {"destination": []}}, "rules[0].when.destination"),
    ({"when": {"destination": [address(9).lower() + "0"]}}, "rules[0].when.destination"),
    ({"when": {"book": ["new"]}}, "rules[0].when.book"),
    ({"when": {"book": ["active", "active"]}}, "rules[0].when.book"),
    ({"when": {"look_alike": 1}}, "rules[0].when.look_alike"),
    ({"when": {"initiator": ["per_1"]}}, "rules[0].when.initiator"),
    ({"when": {"share_max_bps": 10_001}}, "rules[0].when.share_max_bps"),
    ({"when": {"value_max": "5"}}, "rules[0].when.value_max"),
    ({"when": {"value_max": usd(-1)}}, "rules[0].when.value_max.amount"),
    (
        {"when": {"value_max": {"currency": "usd", "amount": "1"}}},
        "rules[0].when.value_max.currency",
    ),
    ({"when": {"velocity_within": []}}, "rules[0].when.velocity_within"),
    ({"when": {"velocity_within": [window(None, None)]}}, "rules[0].when.velocity_within[0]"),
    (
        {"when": {"velocity_within": [{**window(1, 1), "window_s": 60}]}},
        "rules[0].when.velocity_within[0].window_s",
    ),
    ({"when": {"velocity_above": [window(1, 1, "all")]}}, "rules[0].when.velocity_above[0].scope"),
    ({"quorum": [{"roles": [], "approvals": 1}]}, "rules[0].quorum[0].roles"),
    ({"quorum": [{"roles": ["a"], "approvals": 0}]}, "rules[0].quorum[0].approvals"),
    ({"quorum": [{"roles": ["a"], "approvals": 1}] * 2}, "rules[0].quorum"),
    ({"effect": "deny", "quorum": [{"roles": ["a"], "approvals": 1}]}, "rules[0].quorum"),
    ({"amount_max": "5"}, "rules[0].amount_max"),
]


@pytest.mark.parametrize(("change", "field"), BROKEN)
def test_what_is_not_in_the_table_is_no_policy(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(
            {
                **document(),
                "schema": "moorage.policy/2",
                "rules": [{**rule("allow", {}), **change}],
            }
        )
    assert caught.value.field == field


def test_unattended_payouts_still_need_a_limit() -> None:
    with pytest.raises(InvalidInput, match="must bound"):
        parse(
            {
                **document(),
                "schema": "moorage.policy/2",
                "rules": [rule("allow", {"book": ["active"]})],
                "limits": [],
            }
        )


def test_look_alikes() -> None:
    """Property 19."""
    known = "0xAbCd" + "0" * 32 + "12eF"
    assert looks_like("0xabcd" + "1" * 32 + "12ef", known)
    assert not looks_like(known.lower(), known)
    assert not looks_like("0xabcc" + "1" * 32 + "12ef", known)
    assert not looks_like("0xabcd" + "1" * 32 + "13ef", known)


def test_facts_have_one_written_form() -> None:
    for facts in (Facts(), KNOWN, replace(KNOWN, moved={})):
        body = facts.to_json()
        assert Facts.from_json(body) == facts
    for spoil in ({"look_alike": 1}, {"balance": 5}, {"book": "new"}, {"extra": None}):
        with pytest.raises((ValueError, InvalidInput)):
            Facts.from_json({**copy.deepcopy(KNOWN.to_json()), **spoil})


def test_the_kind_and_chain_of_a_rule_are_no_wildcards() -> None:
    allowed = policy(rule("allow", {}))
    assert evaluate(allowed, replace(intent(), kind=IntentKind.RELEASE), KNOWN).rule == (
        "default_deny"
    )
    assert evaluate(allowed, replace(intent(), chain_id=CHAIN + 1), KNOWN).rule == "unknown_chain"

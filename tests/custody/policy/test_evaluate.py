"""Deny by default, the first match decides, approvals count by person and role."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from custody.core.ids import IntentId, TenantId
from custody.core.intents import Intent, IntentKind, Outcome
from custody.core.money import AssetId
from custody.policy.document import Group, parse
from custody.policy.evaluate import Verdict, conclude, evaluate, is_outward
from tests.custody.policy.documents import (
    CHAIN,
    OTHER_ASSET,
    TENANT,
    TOKEN_ASSET,
    address,
    document,
)

pytestmark = pytest.mark.unit

POLICY = parse(document())


def intent(amount: int = 5) -> Intent:
    return Intent(
        id=IntentId(UUID(int=1)),
        tenant_id=TENANT,
        kind=IntentKind.PAYOUT,
        chain_id=CHAIN,
        sender=address(2),
        sender_path="2/1",
        to=address(9),
        value=0,
        data="0x",
        asset_id=AssetId(TOKEN_ASSET),
        amount=amount,
        beneficiary=address(9),
        gas_limit=1,
        fee_max_wei=1,
        reference="",
    )


ROWS = [
    (intent(1), Outcome.ALLOW, "payout-small", 0),
    (intent(100), Outcome.ALLOW, "payout-small", 0),
    (intent(101), Outcome.NEEDS_APPROVAL, "payout-medium", 1),
    (intent(1000), Outcome.NEEDS_APPROVAL, "payout-medium", 1),
    (intent(1001), Outcome.NEEDS_APPROVAL, "payout-large", 2),
    (intent(2**256 - 1), Outcome.NEEDS_APPROVAL, "payout-large", 2),
    (replace(intent(), asset_id=AssetId(OTHER_ASSET)), Outcome.REFUSE, "default_deny", 0),
    (replace(intent(), kind=IntentKind.RELEASE), Outcome.REFUSE, "default_deny", 0),
    (replace(intent(), kind=IntentKind.SWEEP_NATIVE), Outcome.ALLOW, "sweeps", 0),
    (replace(intent(), chain_id=1), Outcome.REFUSE, "unknown_chain", 0),
    (replace(intent(), tenant_id=TenantId(uuid4())), Outcome.REFUSE, "wrong_tenant", 0),
]


@pytest.mark.parametrize(("given", "outcome", "rule", "approvals"), ROWS)
def test_evaluate(given: Intent, outcome: Outcome, rule: str, approvals: int) -> None:
    verdict = evaluate(POLICY, given)
    assert (verdict.outcome, verdict.rule) == (outcome, rule)
    assert verdict.approvals_required == approvals


def test_an_empty_policy_refuses_everything() -> None:
    empty = parse({**document(), "rules": []})
    for kind in IntentKind:
        assert evaluate(empty, replace(intent(), kind=kind)).outcome is Outcome.REFUSE


def test_the_order_of_rules_decides() -> None:
    """A rule that asks for people, put first, takes precedence over a laxer one after it."""
    rules = list(reversed(document()["rules"]))
    assert evaluate(parse({**document(), "rules": rules}), intent(1)).rule == "payout-large"


A, B, C = uuid4(), uuid4(), uuid4()
TWO = Verdict(Outcome.NEEDS_APPROVAL, "r", (Group(("treasurer", "board"), 2),))


@pytest.mark.parametrize(
    ("approvers", "outcome"),
    [
        ({}, Outcome.NEEDS_APPROVAL),
        ({A: "treasurer"}, Outcome.NEEDS_APPROVAL),
        ({A: "treasurer", B: "clerk"}, Outcome.NEEDS_APPROVAL),
        ({A: "treasurer", B: "board"}, Outcome.ALLOW),
        ({A: "treasurer", B: "clerk", C: "treasurer"}, Outcome.ALLOW),
    ],
)
def test_conclude(approvers: dict[UUID, str], outcome: Outcome) -> None:
    assert conclude(TWO, approvers) is outcome


def test_approvals_lift_no_refusal() -> None:
    refused = Verdict(Outcome.REFUSE, "default_deny")
    assert conclude(refused, {A: "treasurer", B: "treasurer"}) is Outcome.REFUSE


def test_outward_is_what_can_leave_us() -> None:
    assert is_outward(POLICY, intent())
    release = replace(intent(), kind=IntentKind.RELEASE)
    assert is_outward(POLICY, release)
    assert not is_outward(POLICY, replace(release, beneficiary=address(1)))
    assert not is_outward(POLICY, replace(intent(), kind=IntentKind.PAYOUT_FILL))

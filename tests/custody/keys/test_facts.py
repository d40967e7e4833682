"""Policies of schema 2 at the signer: what it remembers outweighs what the record claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from custody.core.facts import DAY_S, HOLDER, HOUR_S, Facts, Moved, Scope
from custody.core.ids import format_id, new_uuid7
from custody.core.intents import Approval, Intent, Outcome
from custody.keys.refusal import Refusal
from custody.keys.request import SignRequest
from custody.policy.decisions import decide_on
from custody.policy.document import parse
from tests.custody.keys.vault_world import FEES, LARGE, PAYEE, SMALL, Person, VaultWorld

pytestmark = pytest.mark.unit

QUIET = Facts(moved={(scope, s): Moved(0, 0) for scope in Scope for s in (HOUR_S, DAY_S)})
"""What a thief with the API claims: that nothing has gone out."""


def window(scope: str, amount_max: int | None, count_max: int | None) -> dict[str, Any]:
    return {
        "scope": scope,
        "window_s": HOUR_S,
        "amount_max": None if amount_max is None else str(amount_max),
        "count_max": count_max,
    }


def rule(name: str, when: dict[str, Any], quorum: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "effect": "allow",
        "kind": "payout",
        "asset": "*",
        "when": when,
        "quorum": quorum,
    }


class ModernWorld(VaultWorld):
    """Small payouts pass within windows; large ones need two of the treasury, and a clerk."""

    def policy_document(self) -> dict[str, Any]:
        within = [window("destination", 2 * SMALL, None), window("global", None, 3)]
        groups = [{"roles": ["treasury"], "approvals": 1}, {"roles": ["clerk"], "approvals": 1}]
        return {
            **super().policy_document(),
            "schema": "moorage.policy/2",
            "rules": [
                rule("small", {"amount_max": str(SMALL), "velocity_within": within}, []),
                rule("large", {"amount_above": str(SMALL)}, groups),
            ],
        }

    def ask(
        self, intent: Intent, *approvers: Person, nonce: int, facts: Facts = QUIET
    ) -> SignRequest:
        signed: list[tuple[Approval, str]] = [(self.approve(p, intent), p.role) for p in approvers]
        made = decide_on(parse(self.document), intent, signed, now=self.clock.now(), facts=facts)
        return SignRequest(intent, made, nonce, FEES.max_fee_per_gas, FEES.max_priority_fee_per_gas)


@pytest.fixture
def world(tmp_path: Path) -> ModernWorld:
    return ModernWorld(tmp_path)


def refusal(world: ModernWorld, request: SignRequest) -> str:
    with pytest.raises(Refusal) as caught:
        world.open().sign(request)
    return caught.value.rule


def test_windows_live_in_the_signer(world: ModernWorld) -> None:
    """Property 18: per destination and over all, whatever the record claims, across restarts."""
    for nonce in range(2):
        world.open().sign(world.ask(world.payout(), nonce=nonce))
    assert refusal(world, world.ask(world.payout(), nonce=2)) == "policy"
    world.open().sign(world.ask(world.payout(beneficiary=PAYEE), nonce=2))
    assert refusal(world, world.ask(world.payout(1, beneficiary=PAYEE), nonce=3)) == "policy"
    world.clock.advance(HOUR_S + 1)
    world.open().sign(world.ask(world.payout(), nonce=3))


def test_more_claimed_than_remembered_counts(world: ModernWorld) -> None:
    """Requests that wait to be signed are in the record's count and not yet in the signer's."""
    assert QUIET.moved is not None
    busy = {**QUIET.moved, (Scope.TENANT, HOUR_S): Moved(0, 3)}
    request = world.ask(world.payout(), nonce=0, facts=QUIET)
    honest = replace(request.decision, facts=replace(QUIET, moved=busy))
    assert refusal(world, replace(request, decision=honest)) == "policy"


def test_every_group_and_never_who_asked(world: ModernWorld) -> None:
    """Property 15."""
    large = world.payout(LARGE)
    two = world.ask(large, world.first, world.second, nonce=0)
    assert refusal(world, two) == "decision_outcome"
    both = world.ask(large, world.first, world.clerk, nonce=0)
    assert world.open().sign(both).raw


def asked_by_clerk(world: ModernWorld) -> SignRequest:
    asked = world.payout(LARGE, initiator=format_id("person", world.clerk.id))
    facts = replace(QUIET, initiator=world.clerk.id, initiator_role="clerk")
    return world.ask(asked, world.first, world.clerk, nonce=1, facts=facts)


def test_who_asked_follows_from_the_intent(world: ModernWorld) -> None:
    """Property 15: barred by what the digest binds, whatever the record says."""
    request = asked_by_clerk(world)
    approvals = tuple(world.approve(p, request.intent) for p in (world.first, world.clerk))
    forged = replace(request.decision, approvals=approvals, outcome=Outcome.ALLOW)
    assert refusal(world, replace(request, decision=forged)) == "approval_initiator"


@pytest.mark.parametrize(
    "lie",
    [
        {"initiator": None, "initiator_role": None},
        {"initiator_role": "treasury"},
        {"initiator_role": None},
        {"initiator": UUID(int=1)},
    ],
)
def test_a_record_that_names_another_is_refused(world: ModernWorld, lie: dict[str, Any]) -> None:
    request = asked_by_clerk(world)
    assert request.decision.facts is not None
    record = replace(request.decision, facts=replace(request.decision.facts, **lie))
    assert refusal(world, replace(request, decision=record)) == "decision_initiator"


def test_a_customer_is_a_holder_and_no_person(world: ModernWorld) -> None:
    asked = world.payout(initiator=format_id("customer", new_uuid7()))
    request = world.ask(asked, nonce=0)
    assert request.decision.facts is not None
    assert request.decision.facts.initiator_role == HOLDER
    record = replace(request.decision, facts=replace(QUIET, initiator=world.clerk.id))
    assert refusal(world, replace(request, decision=record)) == "decision_initiator"
    assert world.open().sign(request).raw


def test_a_record_without_facts_is_none_of_this_policy(world: ModernWorld) -> None:
    request = world.ask(world.payout(), nonce=0)
    bare = replace(request.decision, facts=None)
    assert refusal(world, replace(request, decision=bare)) == "decision_facts"


def test_unknown_facts_refuse(world: ModernWorld) -> None:
    request = world.ask(world.payout(), nonce=0, facts=Facts())
    assert request.decision.unknown == ("velocity_within",)
    assert refusal(world, request) == "policy"

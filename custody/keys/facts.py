"""The facts by which the signer decides: the record's, as far as it cannot know better.

Who asked follows from the intent, the role from the signer's own enrolments, and never less was
moved than it remembers.
"""

from dataclasses import replace

from custody.core.facts import WINDOWS_S, Facts, Moved, Scope, Windows
from custody.core.ids import format_id
from custody.core.intents import Intent
from custody.keys.refusal import Refusal
from custody.keys.request import SignRequest
from custody.keys.store import Store
from custody.policy.document import Policy
from custody.policy.evaluate import facts_for


def facts_of(store: Store, policy: Policy, request: SignRequest, now_s: int) -> Facts | None:
    """None under a policy of schema 1. Refuses a record whose form is not the policy's."""
    claimed = request.decision.facts
    asked = facts_for(policy, request.intent, claimed)
    if (asked is None) is not (claimed is None):
        raise Refusal("decision_facts", "the record has not the facts that the policy asks for")
    if asked is None or claimed is None:
        return None
    asked = replace(asked, initiator_role=_role(store, request, asked))
    said = (claimed.initiator, claimed.initiator_role)
    if said != (asked.initiator, asked.initiator_role):
        raise Refusal("decision_initiator", "the record names another as who asked")
    if asked.moved is None:
        return asked
    intent, tenant = request.intent, request.tenant
    own = _with(asked, _remembered(store, tenant, intent, intent.beneficiary, now_s))
    if len(own.each) != len(intent.payouts):
        raise Refusal("decision_facts", "the record has not the facts of each payout")
    each = zip(own.each, intent.payouts, strict=True)
    known = {
        to: _remembered(store, tenant, intent, to, now_s)
        for to in {p.recipient for p in intent.payouts}
    }
    return replace(own, each=tuple(_with(f, known[p.recipient]) for f, p in each))


def _role(store: Store, request: SignRequest, asked: Facts) -> str | None:
    """A person's by this signer's enrolments; None for one who is not, or no longer, enrolled."""
    if asked.initiator is None:
        return asked.initiator_role
    person = store.person(request.tenant, format_id("person", asked.initiator))
    return None if person is None or person.revoked else person.role


def _remembered(store: Store, tenant: str, intent: Intent, destination: str, now_s: int) -> Windows:
    """What this signer signed of the intent's asset: base units and count, by window."""
    return {
        (scope, window_s): store.moved_since(
            tenant,
            intent.asset_id,
            now_s - window_s,
            destination if scope is Scope.DESTINATION else None,
        )
        for scope in Scope
        for window_s in WINDOWS_S
    }


def _with(facts: Facts, own: Windows) -> Facts:
    """The larger of both in each window that was claimed."""
    if facts.moved is None:
        return facts
    moved = {
        key: Moved(max(m.amount, own[key].amount), max(m.count, own[key].count))
        if key in own
        else m
        for key, m in facts.moved.items()
    }
    return replace(facts, moved=moved)

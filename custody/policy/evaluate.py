"""The decision itself: pure, deny by default, the first rule that matches decides.

The service and the signer both call this with their own copy of the policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from custody.core.intents import Intent, IntentKind, Outcome
from custody.policy.document import OUTWARD, Policy

DEFAULT_DENY = "default_deny"
WRONG_TENANT = "wrong_tenant"
UNKNOWN_CHAIN = "unknown_chain"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says before anybody has approved. `rule` names the rule that decided."""

    outcome: Outcome
    rule: str
    approvals_required: int = 0
    roles: tuple[str, ...] = ()


def evaluate(policy: Policy, intent: Intent) -> Verdict:
    """Checks in this order: tenant, chain, rules in the document's order, then refusal."""
    if policy.tenant_id != intent.tenant_id:
        return Verdict(Outcome.REFUSE, WRONG_TENANT)
    if intent.chain_id not in policy.places:
        return Verdict(Outcome.REFUSE, UNKNOWN_CHAIN)
    for rule in policy.rules:
        if rule.matches(intent.kind, intent.asset_id, intent.amount):
            outcome = Outcome.NEEDS_APPROVAL if rule.approvals else Outcome.ALLOW
            return Verdict(outcome, rule.name, rule.approvals, rule.roles)
    return Verdict(Outcome.REFUSE, DEFAULT_DENY)


def conclude(verdict: Verdict, approvers: Mapping[UUID, str]) -> Outcome:
    """The outcome once these distinct people (id -> role) have validly approved."""
    if verdict.outcome is not Outcome.NEEDS_APPROVAL:
        return verdict.outcome
    count = sum(role in verdict.roles for role in approvers.values())
    return Outcome.ALLOW if count >= verdict.approvals_required else Outcome.NEEDS_APPROVAL


def is_outward(policy: Policy, intent: Intent) -> bool:
    """Whether the money ends with somebody outside, so that limits count it.

    A release to the treasury stays ours. Requires that `evaluate` did not refuse.
    """
    if intent.kind is IntentKind.RELEASE:
        return intent.beneficiary != policy.places[intent.chain_id].treasury
    return intent.kind in OUTWARD

"""The decision itself: pure, deny by default, deny wins. SEMANTICS.md says it in words.

The service and the signer both call this with their own copy of the policy; `audit/verify.py` has
an evaluator of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from custody.core.facts import HOLDER, NO_FACTS, Facts
from custody.core.intents import Intent, IntentKind, Outcome
from custody.policy.batch import parts
from custody.policy.document import ANY, OUTWARD, SCHEMA, Effect, Group, Policy, Rule

NO_BATCH_CONTRACT = "no_batch_contract"
EMPTY_BATCH = "empty_batch"
DEFAULT_DENY = "default_deny"
WRONG_TENANT = "wrong_tenant"
UNKNOWN_CHAIN = "unknown_chain"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says before anybody has approved. `rule` names the rule that decided.

    `unknown` are the conditions of that rule whose facts are not known, which is why it refuses.
    `required_most` is set for a batch, where the groups are those of several rules and one person
    may fill a place in more than one: the most that any of the rules asks for.
    """

    outcome: Outcome
    rule: str
    groups: tuple[Group, ...] = ()
    unknown: tuple[str, ...] = ()
    required_most: int | None = None

    @property
    def approvals_required(self) -> int:
        if self.required_most is not None:
            return self.required_most
        return sum(g.approvals for g in self.groups)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(role for g in self.groups for role in g.roles)


def evaluate(policy: Policy, intent: Intent, facts: Facts = NO_FACTS) -> Verdict:
    """Checks in this order: tenant, chain, rules that deny, rules that allow, then refusal.

    Within each, the document's order; the first rule that is not known to miss decides. A batch of
    payouts is judged payout by payout.
    """
    if policy.tenant_id != intent.tenant_id:
        return Verdict(Outcome.REFUSE, WRONG_TENANT)
    if intent.chain_id not in policy.places:
        return Verdict(Outcome.REFUSE, UNKNOWN_CHAIN)
    if intent.kind is IntentKind.PAYOUT_BATCH:
        return _batch(policy, intent, facts)
    return _by_rules(policy, intent, facts)


def _by_rules(policy: Policy, intent: Intent, facts: Facts) -> Verdict:
    for effect in (Effect.DENY, Effect.ALLOW):
        for rule in policy.rules:
            if rule.effect is not effect or not _concerns(rule, intent):
                continue
            unknown = _unknown(rule, intent, facts)
            if unknown is not None:
                return _decided(rule, unknown)
    return Verdict(Outcome.REFUSE, DEFAULT_DENY)


def _batch(policy: Policy, intent: Intent, facts: Facts) -> Verdict:
    """The strictest of what the rules say about each payout, in their order.

    The first that is refused refuses all, as `rule@number`. Otherwise every rule that decided wants
    its own groups.
    """
    if policy.places[intent.chain_id].payouts is None:
        return Verdict(Outcome.REFUSE, NO_BATCH_CONTRACT)
    if not intent.payouts:
        return Verdict(Outcome.REFUSE, EMPTY_BATCH)
    decided: dict[str, Verdict] = {}
    for number, (single, known) in enumerate(parts(intent, facts)):
        verdict = _by_rules(policy, single, known)
        if verdict.outcome is Outcome.REFUSE:
            return replace(verdict, rule=f"{verdict.rule}@{number}")
        decided[verdict.rule] = verdict
    groups = tuple(g for v in decided.values() for g in v.groups)
    return Verdict(
        Outcome.NEEDS_APPROVAL if groups else Outcome.ALLOW,
        "+".join(decided),
        groups,
        required_most=max(v.approvals_required for v in decided.values()),
    )


def conclude(
    verdict: Verdict, approvers: Mapping[UUID, str], initiator: UUID | None = None
) -> Outcome:
    """The outcome once these distinct people (id -> role) have validly approved.

    Who asked does not count. Each group needs its own number of people.
    """
    if verdict.outcome is not Outcome.NEEDS_APPROVAL:
        return verdict.outcome
    roles = [role for person, role in approvers.items() if person != initiator]
    met = all(sum(role in g.roles for role in roles) >= g.approvals for g in verdict.groups)
    return Outcome.ALLOW if met else Outcome.NEEDS_APPROVAL


def facts_for(policy: Policy, intent: Intent, facts: Facts | None) -> Facts | None:
    """What a decision under this policy records of them: schema 1 asks for none, 2 always does.

    Who asked is what the intent says, whatever the facts say; a person's role is the facts'.
    """
    if policy.body["schema"] == SCHEMA:
        return None
    found, person = facts or NO_FACTS, intent.person_id
    role = None if person is None else found.initiator_role
    return replace(found, initiator=person, initiator_role=HOLDER if intent.is_customers else role)


def is_outward(policy: Policy, intent: Intent) -> bool:
    """Whether the money ends with somebody outside, so that limits count it.

    A release to the treasury stays ours. Requires that `evaluate` did not refuse.
    """
    if intent.kind is IntentKind.RELEASE:
        return intent.beneficiary != policy.places[intent.chain_id].treasury
    return intent.kind in OUTWARD


def _concerns(rule: Rule, intent: Intent) -> bool:
    return rule.kind in (None, intent.kind) and rule.asset in (ANY, intent.asset_id)


def _unknown(rule: Rule, intent: Intent, facts: Facts) -> tuple[str, ...] | None:
    """None if a condition does not hold; else the names of those that cannot be told."""
    unknown: tuple[str, ...] = ()
    for condition in rule.conditions:
        holds = condition.test(condition.operand, intent, facts)
        if holds is False:
            return None
        if holds is None:
            unknown += (condition.name,)
    return unknown


def _decided(rule: Rule, unknown: tuple[str, ...]) -> Verdict:
    """What a rule says that applies, or may apply."""
    if rule.effect is Effect.DENY or unknown:
        return Verdict(Outcome.REFUSE, rule.name, unknown=tuple(sorted(unknown)))
    outcome = Outcome.NEEDS_APPROVAL if rule.groups else Outcome.ALLOW
    return Verdict(outcome, rule.name, rule.groups)

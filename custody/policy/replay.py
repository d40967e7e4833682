"""Deciding again, offline: one decision on its own inputs, or past ones under a draft. Pure.

A replay file has everything that a decision rests on:

    {"schema": "moorage.replay/1", "policy": {…}, "intent": {…}, "decision": {…},
     "roles": {"per_…": ROLE, …}}

`roles` are those of the people whose approvals the decision counts, at that time.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.facts import NO_FACTS
from custody.core.ids import format_id
from custody.core.intents import Decision, Intent, Outcome
from custody.policy.document import SCHEMA, Policy, parse
from custody.policy.evaluate import Verdict, conclude, evaluate, facts_for
from custody.policy.record import decision_from_json
from custody.policy.strict import fields, require, text

SCHEMA_REPLAY = "moorage.replay/1"
_FIELDS = frozenset({"schema", "policy", "intent", "decision", "roles"})


@dataclass(frozen=True, slots=True)
class Past:
    """A decision with what it was about and the roles of its approvers."""

    intent: Intent
    decision: Decision
    roles: Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class Result:
    """What follows from the inputs: outcome, the rule, people asked for, what was unknown."""

    outcome: Outcome
    rule: str
    approvals_required: int
    unknown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "rule": self.rule,
            "approvals_required": self.approvals_required,
            "unknown": list(self.unknown),
        }


def write(policy: Policy, past: Past) -> dict[str, Any]:
    """The replay file of a decision."""
    return {
        "schema": SCHEMA_REPLAY,
        "policy": dict(policy.body),
        "intent": past.intent.to_json(),
        "decision": past.decision.to_json(),
        "roles": {format_id("person", p): role for p, role in past.roles.items()},
    }


def replay(body: object) -> tuple[Result, Result]:
    """(what the record says, what its inputs say). They are equal unless something is wrong.

    Raises InvalidInput where the file is of another form, or its parts are not of one another.
    """
    file = fields(body, "record", _FIELDS)
    require(file["schema"] == SCHEMA_REPLAY, "record.schema", f"must be {SCHEMA_REPLAY}")
    policy, past = parse(file["policy"]), _past(file)
    digest = "sha256:" + hashlib.sha256(canonical.encode(file["intent"])).hexdigest()
    require(past.decision.intent_digest == digest, "record.intent", "is not what was decided on")
    require(past.decision.policy_hash == policy.hash, "record.policy", "is not what decided")
    return recorded(past.decision), decided(policy, past)


def recorded(d: Decision) -> Result:
    return Result(d.outcome, d.rule, d.approvals_required, d.unknown)


def decided(policy: Policy, past: Past) -> Result:
    """The result under a policy on a past decision's facts and approvals, as of its time."""
    facts = facts_for(policy, past.intent, past.decision.facts) or NO_FACTS
    verdict: Verdict = evaluate(policy, past.intent, facts)
    valid = [a for a in past.decision.approvals if a.expires_at > past.decision.decided_at]
    people = {a.person_id: past.roles[a.person_id] for a in valid if a.person_id in past.roles}
    outcome = conclude(verdict, people, past.intent.person_id)
    return Result(outcome, verdict.rule, verdict.approvals_required, verdict.unknown)


def what_if(draft: Policy, past: Iterable[Past]) -> list[dict[str, Any]]:
    """What a draft would change: each past decision that it would make otherwise.

    Rule names alone are no change; outcome, people asked for, and what is unknown are.
    """
    changes = []
    for item in past:
        was, now = recorded(item.decision), decided(draft, item)
        if _substance(was) != _substance(now):
            intent = format_id("intent", item.intent.id)
            changes.append({"intent": intent, "was": was.to_json(), "would_be": now.to_json()})
    return changes


def asks_for_facts(policy: Policy) -> bool:
    """Whether past decisions without facts can say little about this policy."""
    return bool(policy.body["schema"] != SCHEMA and any(r.conditions for r in policy.rules))


def _substance(result: Result) -> tuple[object, ...]:
    return result.outcome, result.approvals_required, result.unknown


def _past(file: Mapping[str, Any]) -> Past:
    try:
        intent = Intent.from_json(file["intent"])
        decision = decision_from_json(file["decision"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("record", "has no intent and decision of the known form") from error
    roles = file["roles"]
    require(isinstance(roles, dict), "record.roles", "must be an object: person to role")
    known = {format_id("person", a.person_id): a.person_id for a in decision.approvals}
    require(set(roles) == set(known), "record.roles", "must name who approved, and nobody else")
    return Past(intent, decision, {known[p]: text(r, "record.roles") for p, r in roles.items()})

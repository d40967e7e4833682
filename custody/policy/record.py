"""Reading decision records and approvals back from JSON, strictly: one record has one form."""

import re
from datetime import UTC, datetime
from typing import Any

from custody.core.facts import Facts
from custody.core.ids import DecisionId, parse_id
from custody.core.intents import Approval, Decision, Outcome

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


def parse_time(text: str) -> datetime:
    """Inverse of `clock.iso_us`. Raises ValueError."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def approval_from_json(body: dict[str, Any]) -> Approval:
    """Inverse of `Approval.to_json`. Raises ValueError or InvalidInput on any other form."""
    approval = Approval(
        person_id=parse_id("person", body["person"], "person"),
        intent_digest=body["intent"],
        expires_at=parse_time(body["expires_at"]),
        signature=body["signature"],
    )
    if approval.to_json() != body or not _SIGNATURE.fullmatch(approval.signature):
        raise ValueError("not an approval in canonical form")
    return approval


def decision_from_json(body: dict[str, Any]) -> Decision:
    """Inverse of `Decision.to_json`. Raises ValueError or InvalidInput on any other form."""
    try:
        facts = body.get("facts")
        decision = Decision(
            id=DecisionId(parse_id("decision", body["id"], "decision")),
            intent_digest=body["intent"],
            policy_hash=body["policy"],
            outcome=Outcome(body["outcome"]),
            rule=body["rule"],
            approvals_required=body["approvals_required"],
            approvals=tuple(approval_from_json(a) for a in body["approvals"]),
            decided_at=parse_time(body["decided_at"]),
            facts=None if facts is None else Facts.from_json(facts),
            unknown=tuple(body.get("unknown", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a decision record") from error
    if decision.to_json() != body:
        raise ValueError("not a decision record in canonical form")
    return decision

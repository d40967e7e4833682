"""Evidence that the API cannot make: signatures of people enrolled in the signer's own store."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from custody.core.governance import TREASURY, Signature, consent_payload
from custody.core.ids import format_id
from custody.core.intents import Approval, Outcome, approval_payload
from custody.keys.people import is_signed
from custody.keys.refusal import Refusal, require
from custody.keys.request import SignRequest
from custody.keys.store import Store
from custody.policy.evaluate import Verdict, conclude

CONSENTERS = frozenset({TREASURY})


def require_approvals(store: Store, request: SignRequest, verdict: Verdict, now: datetime) -> None:
    """Refuse unless enough distinct people of the rule's groups have validly signed.

    Who asked, by the intent itself, does not count.

    Bad evidence does not count; if what is left is too little, the first fault is the reason.
    """
    approvers: dict[UUID, str] = {}
    decision, initiator = request.decision, request.intent.person_id
    fault: Refusal | None = None
    for approval in decision.approvals:
        try:
            role = _role_of(store, approval, decision.intent_digest, request.tenant, now)
            require(role in verdict.roles, "approval_role", f"role {role} does not count")
            other = approval.person_id != initiator
            require(other, "approval_initiator", "is by who asked for it")
            fresh = approval.person_id not in approvers
            require(fresh, "approval_duplicate", "one person counts once")
            approvers[approval.person_id] = role
        except Refusal as refusal:
            fault = fault or refusal
    if conclude(verdict, approvers, initiator) is not Outcome.ALLOW:
        raise fault or Refusal(
            "approvals_missing", f"{len(approvers)} of {verdict.approvals_required} approvals"
        )


def require_person(
    store: Store,
    tenant: str,
    person: str,
    roles: frozenset[str],
    payload: bytes,
    signature: str,
    *,
    rule: str,
) -> None:
    """Refuse by `rule` unless a person of these roles, enrolled and not revoked, signed this."""
    found = store.person(tenant, person)
    if found is None or found.revoked or found.role not in roles:
        raise Refusal(rule, f"{person[:40]} is enrolled as none of {', '.join(sorted(roles))}")
    raw = bytes.fromhex(signature)
    require(is_signed(found.public_key, payload, raw), rule, "is not that person's signature")


def require_consents(
    store: Store, tenant: str, what: str, hash_: str, given: Sequence[Signature], least: int
) -> None:
    """Refuse unless so many distinct people of treasury agreed to the document of this hash."""
    for c in given:
        payload = consent_payload(tenant, what, hash_, c.person)
        require_person(
            *(store, tenant, c.person, CONSENTERS, payload, c.signature), rule="change_consent"
        )
    people = len({c.person for c in given})
    require(people >= least, "change_consent", f"{people} of {least} people agreed")


def _role_of(store: Store, approval: Approval, digest: str, tenant: str, now: datetime) -> str:
    """The signer's own record of the person's role. Refuses whatever is wrong with the approval."""
    require(approval.intent_digest == digest, "approval_intent", "approves another intent")
    person = store.person(tenant, format_id("person", approval.person_id))
    if person is None:
        raise Refusal("approval_unknown_person", "is by nobody enrolled here")
    require(not person.revoked, "approval_revoked_person", "is by a person who was revoked")
    require(approval.expires_at > now, "approval_expired", "has expired")
    payload = approval_payload(approval.person_id, digest, approval.expires_at)
    good = is_signed(person.public_key, payload, bytes.fromhex(approval.signature))
    require(good, "approval_forged", "is not that person's signature")
    return person.role

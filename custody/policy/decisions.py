"""Decisions: what policy said about an intent on what evidence, kept for ever and logged."""

from datetime import datetime
from uuid import UUID

from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.facts import NO_FACTS, Facts
from custody.core.ids import DecisionId, format_id, new_uuid7
from custody.core.intents import Approval, Decision, Intent, Outcome
from custody.core.serialization import dumps_text
from custody.policy import approvals, gather, movements, policies
from custody.policy.document import Policy
from custody.policy.evaluate import Verdict, conclude, evaluate, facts_for, is_outward
from custody.policy.record import decision_from_json

from_json = decision_from_json

_LATEST = """
SELECT body FROM decisions WHERE tenant_id = :tenant AND intent_digest = :digest
ORDER BY id DESC LIMIT 1
"""
_INSERT = """
INSERT INTO decisions
  (id, tenant_id, intent_id, intent_digest, policy_hash, outcome, rule, body, decided_at)
VALUES (:id, :tenant, :intent, :digest, :policy, :outcome, :rule, CAST(:body AS jsonb), :at)
"""


async def verdict_for(s: ReadSession, intent: Intent) -> Verdict:
    """What the current policy asks for on the last decision's facts: rule, approvals, roles."""
    last = await latest(s, intent.tenant_id, intent.digest())
    policy = await policies.current(s, intent.tenant_id)
    facts = facts_for(policy, intent, None if last is None else last.facts)
    return evaluate(policy, intent, facts or NO_FACTS)


async def decide(
    s: WriteSession, intent: Intent, *, now: datetime, facts: Facts | None = None
) -> Decision:
    """Decide on the current policy and the approvals valid now; store and log the record.

    Facts are gathered here, unless the caller brings them; windows are always counted here, and
    what passes is counted in.
    A decision equal to the last one about this intent is that one: nothing new is written.
    Raises Unavailable where no policy is loaded.
    """
    policy = await policies.current(s, intent.tenant_id)
    found = facts if facts is not None else await gather.gather(s, policy, intent, now=now)
    asked = facts_for(policy, intent, found)
    counts = asked is not None and intent.chain_id in policy.places and is_outward(policy, intent)
    if asked is not None and counts:
        await movements.lock(s, intent.tenant_id)
        asked = await movements.gathered(s, intent, asked, now=now)
    signed = await approvals.valid_for(s, intent.tenant_id, intent.digest(), now=now)
    decision = decide_on(policy, intent, signed, now=now, facts=asked)
    if counts and decision.outcome is not Outcome.REFUSE:
        await movements.add(s, intent, at=now)
    last = await latest(s, intent.tenant_id, decision.intent_digest)
    if last is not None and _substance(last) == _substance(decision):
        return last
    await _store(s, policy, intent, decision)
    return decision


def decide_on(
    policy: Policy,
    intent: Intent,
    signed: list[tuple[Approval, str]],
    *,
    now: datetime,
    facts: Facts | None = None,
) -> Decision:
    """The pure part: the record that follows. `signed` are valid approvals and their roles.

    Approvals by who asked, and by roles that do not count, are left out of it.
    """
    asked, initiator = facts_for(policy, intent, facts), intent.person_id
    verdict = evaluate(policy, intent, asked or NO_FACTS)
    counted = [(a, r) for a, r in signed if r in verdict.roles and a.person_id != initiator]
    return Decision(
        id=DecisionId(new_uuid7()),
        intent_digest=intent.digest(),
        policy_hash=policy.hash,
        outcome=conclude(verdict, {a.person_id: role for a, role in counted}, initiator),
        rule=verdict.rule,
        approvals_required=verdict.approvals_required,
        approvals=tuple(a for a, _ in counted),
        decided_at=now,
        facts=asked,
        unknown=verdict.unknown,
    )


async def latest(s: ReadSession, tenant_id: UUID, intent_digest: str) -> Decision | None:
    """The newest decision about an intent, if there is one."""
    row = await s.first(_LATEST, {"tenant": tenant_id, "digest": intent_digest})
    return None if row is None else from_json(row.body)


def _substance(d: Decision) -> tuple[object, ...]:
    """Of the facts only what the signer compares with its own: it would refuse the older record.

    Windows, balances and prices move all the time, and a job that asks again would write again.
    """
    return (
        d.intent_digest,
        d.policy_hash,
        d.outcome,
        d.rule,
        d.approvals_required,
        d.approvals,
        d.unknown,
        None if d.facts is None else d.facts.initiator_role,
        None if d.facts is None else [(f.book, f.look_alike) for f in (d.facts, *d.facts.each)],
    )


async def _store(s: WriteSession, policy: Policy, intent: Intent, decision: Decision) -> None:
    body = decision.to_json()
    await s.execute(
        _INSERT,
        {
            "id": decision.id,
            "tenant": intent.tenant_id,
            "intent": intent.id,
            "digest": decision.intent_digest,
            "policy": decision.policy_hash,
            "outcome": decision.outcome.value,
            "rule": decision.rule,
            "body": dumps_text(body),
            "at": decision.decided_at,
        },
    )
    data: dict[str, Json] = {
        "intent": format_id("intent", intent.id),
        "digest": decision.intent_digest,
        "decision": body,
        "policy_version": str(policy.version),
    }
    await log.append(s, intent.tenant_id, "decision.made", data, at=decision.decided_at)

"""What `is_tightening` promises, asked of random policies and their random edits."""

import copy
from typing import Any

import pytest

from custody.core.intents import Outcome
from custody.policy.compare import is_tightening
from custody.policy.document import parse
from custody.policy.evaluate import Verdict, evaluate
from tests.properties.test_policy_agreement import Cases

pytestmark = pytest.mark.unit

POLICIES, QUESTIONS = 1_500, 25


def milder(old: Verdict, new: Verdict) -> bool:
    """Whether somebody could get more than before."""
    if new.outcome is Outcome.REFUSE:
        return False
    if old.outcome is Outcome.REFUSE:
        return True
    return not all(
        any(set(n.roles) <= set(o.roles) and n.approvals >= o.approvals for n in new.groups)
        for o in old.groups
    )


def edited(cases: Cases, document: dict[str, Any]) -> dict[str, Any]:
    """One to three random edits: some tighten, some loosen, some only seem to."""
    draft = copy.deepcopy(document)
    rules = draft["rules"]
    for _ in range(cases.random.randint(1, 3)):
        match cases.random.choice(["drop", "drop", "more", "swap", "people", "narrow", "narrow"]):
            case "drop" if rules:
                rules.pop(cases.random.randrange(len(rules)))
            case "more":
                rules.insert(cases.random.randint(0, len(rules)), cases.rule(90 + len(rules)))
            case "swap":
                cases.random.shuffle(rules)
            case "people" if rules:
                for group in cases.random.choice(rules).get("quorum", []):
                    group["approvals"] += cases.random.choice([-1, 1, 1])
            case "narrow" if rules:
                when = cases.random.choice(rules).get("when", {})
                name = cases.random.choice(["amount_max", "amount_above", "destination", "book"])
                when[name] = cases.operand(name)
    for rule in rules:
        rule["name"] = f"rule-{len(rule['name'])}-{id(rule)}"
        for group in rule.get("quorum", []):
            group["approvals"] = max(1, group["approvals"])
    return draft


def test_a_tightening_is_nowhere_milder() -> None:
    cases, tighter, changed = Cases(7), 0, 0
    for _ in range(POLICIES):
        document = cases.document()
        draft = edited(cases, document)
        if draft["schema"] == "moorage.policy/1" and any("when" in r for r in draft["rules"]):
            continue
        old, new = parse(document), parse(draft)
        if not is_tightening(old, new):
            continue
        tighter += 1
        for _ in range(QUESTIONS):
            intent = cases.intent()
            facts = cases.facts(intent)
            before, after = evaluate(old, intent, facts), evaluate(new, intent, facts)
            changed += (before.outcome, before.groups) != (after.outcome, after.groups)
            assert not milder(before, after), (document["rules"], draft["rules"], intent, facts)
    assert tighter > POLICIES // 10, tighter
    assert changed > 100, changed

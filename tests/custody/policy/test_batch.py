"""A batch is judged payout by payout, as if those before it had just been made."""

from dataclasses import replace
from typing import Any

import pytest

from custody.core.facts import DAY_S, HOUR_S, Book, Facts, Moved, Scope
from custody.core.intents import Intent, IntentKind, Outcome, Payout
from custody.policy.document import parse
from custody.policy.evaluate import Verdict, evaluate
from tests.custody.policy.documents import CHAIN, address, document
from tests.custody.policy.test_evaluate import intent

pytestmark = pytest.mark.unit

CONTRACT = address(20)
A, B = address(9), address(10)


def rule(name: str, when: dict[str, Any], quorum: dict[str, int] | None = None, **more: Any) -> Any:
    groups = [{"roles": [role], "approvals": n} for role, n in (quorum or {}).items()]
    base = {"name": name, "effect": "allow", "kind": "payout", "asset": "*", "when": when}
    return {**base, "quorum": groups, **more}


def judged(rules: list[Any], made: list[tuple[str, int]], facts: Facts, **places: Any) -> Verdict:
    body = document()
    of_chain = {**body["places"][str(CHAIN)], "payouts": CONTRACT, **places}
    limits = [{"asset": "*", "window_s": 3600, "amount_max": "500"}]
    body |= {"schema": "moorage.policy/2", "rules": rules, "limits": limits}
    body["places"] = {str(CHAIN): of_chain}
    return evaluate(parse(body), batch(made), facts)


def batch(made: list[tuple[str, int]]) -> Intent:
    payouts = tuple(Payout(to, amount, str(n)) for n, (to, amount) in enumerate(made))
    total = sum(amount for _, amount in made)
    kind = IntentKind.PAYOUT_BATCH
    return replace(intent(total), kind=kind, beneficiary=CONTRACT, payouts=payouts)


def window(scope: str, amount: int) -> list[Any]:
    return [{"scope": scope, "window_s": HOUR_S, "amount_max": str(amount), "count_max": None}]


def counted(everywhere: int, each: list[int]) -> Facts:
    windows = {(Scope.TENANT, s): Moved(everywhere, 1) for s in (HOUR_S, DAY_S)}
    own = tuple(Facts(moved={(Scope.DESTINATION, HOUR_S): Moved(n, 1)}) for n in each)
    return Facts(moved=windows, each=own)


SMALL = rule("small", {"amount_max": "100"})
LARGE = rule("large", {}, {"treasurer": 2})
CLERKS = rule("middle", {"amount_max": "500"}, {"clerk": 1})
GLOBAL = rule("window", {"velocity_within": window("global", 100)})
OWN = rule("window", {"velocity_within": window("destination", 100)})
BOOKED = rule("booked", {"book": ["active"]})
SHARE = rule("share", {"share_max_bps": 5_000})
NO_B = rule("no", {"destination": [B]}, effect="deny")
NONE = Facts()
ALLOW, REFUSE, WAIT = Outcome.ALLOW, Outcome.REFUSE, Outcome.NEEDS_APPROVAL
ROWS: list[tuple[Any, ...]] = [
    # rules, payouts, facts -> outcome, rule, approvals
    ([SMALL], [(A, 100), (B, 100)], NONE, ALLOW, "small", 0),
    ([SMALL], [(A, 100), (B, 101)], NONE, REFUSE, "default_deny@1", 0),
    ([SMALL, LARGE], [(A, 101), (B, 1), (A, 999)], NONE, WAIT, "large+small", 2),
    ([SMALL, CLERKS, LARGE], [(A, 101), (B, 501)], NONE, WAIT, "middle+large", 2),
    ([NO_B, SMALL], [(A, 1), (B, 1)], NONE, REFUSE, "no@1", 0),
    ([GLOBAL], [(A, 50), (B, 40)], counted(10, [0, 0]), ALLOW, "window", 0),
    ([GLOBAL], [(A, 50), (B, 41)], counted(10, [0, 0]), REFUSE, "default_deny@1", 0),
    ([OWN], [(A, 50), (B, 90), (A, 40)], counted(999, [10, 10, 10]), ALLOW, "window", 0),
    ([OWN], [(A, 50), (B, 90), (A, 41)], counted(999, [10, 10, 10]), REFUSE, "default_deny@2", 0),
    ([OWN], [(A, 1)], counted(0, []), REFUSE, "window@0", 0),
    ([BOOKED], [(A, 1), (B, 1)], Facts(book=Book.ACTIVE), REFUSE, "booked@0", 0),
    (
        [BOOKED],
        [(A, 1), (B, 1)],
        Facts(each=(Facts(book=Book.ACTIVE), Facts(book=Book.COOLING))),
        REFUSE,
        "default_deny@1",
        0,
    ),
    ([SHARE], [(A, 50), (B, 25)], Facts(balance=100), ALLOW, "share", 0),
    ([SHARE], [(A, 50), (B, 26)], Facts(balance=100), REFUSE, "default_deny@1", 0),
    ([SMALL], [], NONE, REFUSE, "empty_batch", 0),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "made", "facts", "outcome", "name", "approvals"), ROWS)
def test_the_strictest_decides(
    rules: Any, made: Any, facts: Facts, outcome: Outcome, name: str, approvals: int
) -> None:
    verdict = judged(rules, made, facts)
    found = (verdict.outcome, verdict.rule, verdict.approvals_required)
    assert found == (outcome, name, approvals)


def test_without_the_contract_in_the_policy_there_are_no_batches() -> None:
    verdict = judged([SMALL], [(A, 1)], NONE, payouts=None)
    assert (verdict.outcome, verdict.rule) == (Outcome.REFUSE, "no_batch_contract")


def test_facts_of_each_have_one_form() -> None:
    facts = counted(10, [1, 2])
    assert Facts.from_json(facts.to_json()) == facts
    assert facts.to_json()["schema"] == "moorage.facts/2"
    deeper = {**facts.to_json()}
    deeper["each"] = [facts.to_json()]
    with pytest.raises(ValueError, match="facts"):
        Facts.from_json(deeper)

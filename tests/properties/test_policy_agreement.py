"""The service, the signer and the auditor's verifier, asked the same random questions, agree.

The verifier's evaluator is written apart from the other two and reads JSON alone.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from custody.audit import verify
from custody.core.facts import DAY_S, HOUR_S, Book, Code, Facts, Moved, Scope
from custody.core.ids import TenantId, format_id
from custody.core.intents import Approval, Intent, IntentKind, Outcome, Payout
from custody.core.money import AssetId
from custody.core.prices import Price, ReferencePrice
from custody.keys.facts import facts_of
from custody.keys.request import SignRequest
from custody.keys.store import Store
from custody.policy.decisions import decide_on
from custody.policy.document import parse
from custody.policy.evaluate import conclude, evaluate
from custody.policy.record import decision_from_json
from tests.custody.policy.documents import CHAIN, OTHER_ASSET, TENANT, TOKEN_ASSET, document
from tests.custody.policy.documents import address as address_of
from tests.custody.policy.test_evaluate import intent as good_intent

pytestmark = pytest.mark.unit

QUICK, FULL = 500, 10_000
AT = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = [UUID(int=n) for n in range(1, 6)]
ROLES = ["board", "clerk", "treasury"]
CUSTOMER = format_id("customer", UUID(int=77))
ENROLLED = {format_id("person", p): ROLES[n % 3] for n, p in enumerate(PEOPLE)}
AMOUNTS = [0, 1, 4, 5, 6, 100, 2**256 - 1]
ASSETS = [TOKEN_ASSET, OTHER_ASSET]
KINDS = [IntentKind.PAYOUT, IntentKind.RELEASE, IntentKind.PAYOUT_FILL]


class Cases:
    """Small domains, so that rules are met, missed by one, and met at their edge."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, value: Any, chance: float = 0.8) -> Any:
        return value if self.random.random() < chance else None

    def some(self, of: list[Any]) -> list[Any]:
        return self.random.sample(of, self.random.randint(1, len(of)))

    def amount(self) -> int:
        return self.random.choice(AMOUNTS)

    def window(self) -> dict[str, Any]:
        amount, count = self.maybe(str(self.amount()), 0.7), self.maybe(self.random.randint(0, 3))
        return {
            "scope": self.random.choice(["global", "destination"]),
            "window_s": self.random.choice([HOUR_S, DAY_S]),
            "amount_max": amount,
            "count_max": 3 if amount is None and count is None else count,
        }

    def worth(self) -> dict[str, str]:
        amount = self.random.choice([0, 1_999_999, 2_000_000, 9_999_999, 10_000_000, 10**80])
        return {
            "currency": self.random.choice(["USD", "USD", "EUR"]),
            "amount": str(min(amount, 2**256 - 1)),
        }

    def operand(self, name: str) -> Any:
        if name.startswith("amount"):
            return str(self.amount())
        if name.startswith("velocity"):
            return [self.window() for _ in range(self.random.randint(1, 3))]
        if name.startswith("share"):
            return self.random.choice([0, 49, 50, 51, 10_000])
        if name.startswith("value"):
            return self.worth()
        sets: dict[str, list[Any]] = {
            "destination": [address_of(n) for n in (9, 10, 11)],
            "book": [b.value for b in Book],
            "code": [c.value for c in Code],
            "initiator": [format_id("person", p) for p in PEOPLE],
            "initiator_role": ROLES,
        }
        return self.random.random() < 0.5 if name == "look_alike" else self.some(sets[name])

    def rule(self, number: int) -> dict[str, Any]:
        denies = self.random.random() < 0.3
        names = self.random.sample(NAMES, self.random.choice([0, 1, 1, 1, 2, 2, 3]))
        roles = self.some(ROLES)
        cut = self.random.randint(0, len(roles))
        groups = [g for g in (roles[:cut], roles[cut:]) if g and not denies]
        kinds = [k.value for k in KINDS] + ["*"] * denies
        return {
            "name": f"rule-{number}",
            "effect": "deny" if denies else "allow",
            "kind": self.random.choice(kinds),
            "asset": self.random.choice([*ASSETS, "*"]),
            "when": {name: self.operand(name) for name in names},
            "quorum": [
                {"roles": g, "approvals": self.random.randint(1, 2)}
                for g in groups
                if self.random.random() < 0.7
            ],
        }

    def older_rule(self, number: int) -> dict[str, Any]:
        roles = self.maybe(self.some(ROLES)) or []
        return {
            "name": f"rule-{number}",
            "kind": self.random.choice(KINDS).value,
            "asset": self.random.choice([*ASSETS, "*"]),
            "amount_max": self.maybe(str(self.amount())),
            "approvals": self.random.randint(1, 3) if roles else 0,
            "roles": roles,
        }

    def document(self) -> dict[str, Any]:
        older = self.random.random() < 0.15
        make = self.older_rule if older else self.rule
        places = {**document()["places"][str(CHAIN)], "payouts": self.maybe(address_of(20))}
        return {
            **document(),
            "places": {str(CHAIN): places},
            "schema": "moorage.policy/1" if older else "moorage.policy/2",
            "rules": [make(n) for n in range(self.random.randint(0, 8))],
            "limits": [{"asset": "*", "window_s": DAY_S, "amount_max": "5"}],
        }

    def payouts(self) -> tuple[Payout, ...]:
        """To few recipients, so that some get several."""
        return tuple(
            Payout(address_of(self.random.choice([9, 10, 11])), self.random.choice(AMOUNTS), str(n))
            for n in range(self.random.choice([0, 1, 2, 2, 3, 4]))
        )

    def intent(self) -> Intent:
        pick = self.random.choice
        payouts = self.payouts() if self.random.random() < 0.4 else None
        amount = self.amount() if payouts is None else sum(p.amount for p in payouts)
        return replace(
            good_intent(amount),
            kind=pick(KINDS) if payouts is None else IntentKind.PAYOUT_BATCH,
            payouts=payouts or (),
            asset_id=AssetId(pick(ASSETS)),
            beneficiary=address_of(pick([9, 10, 11])),
            chain_id=pick([CHAIN] * 9 + [1]),
            tenant_id=pick([TENANT] * 19 + [TenantId(UUID(int=9))]),
            initiator=pick([None, CUSTOMER, *ENROLLED]),
        )

    def price(self) -> ReferencePrice:
        asset = AssetId(self.random.choice([TOKEN_ASSET, TOKEN_ASSET, OTHER_ASSET]))
        low = Price(asset, "USD", self.random.choice([1, 2]), 0, "feed.b", AT, None)
        scale = self.random.choice([0, 6])
        return ReferencePrice(Price(asset, "USD", 2 * 10**scale, scale, "feed.a", AT, 1), low)

    def moved(self) -> dict[tuple[Scope, int], Moved]:
        return {
            (scope, s): Moved(self.random.choice([0, 1, 95, 96]), self.random.randint(0, 3))
            for scope in Scope
            for s in (HOUR_S, DAY_S)
            if self.random.random() < 0.9
        }

    def facts_of_each(self, item: Intent) -> tuple[Facts, ...]:
        if self.random.random() < 0.1:
            return ()
        return tuple(
            Facts(
                book=self.maybe(self.random.choice(list(Book))),
                code=self.maybe(self.random.choice(list(Code))),
                look_alike=self.maybe(self.random.random() < 0.5),
                moved=self.maybe(self.moved()),
            )
            for _ in item.payouts
        )

    def facts(self, item: Intent) -> Facts:
        """Who asked is given at random: only the intent's word may count. A role is true."""
        return Facts(
            each=self.facts_of_each(item),
            initiator=self.maybe(self.random.choice(PEOPLE)),
            initiator_role=ENROLLED.get(item.initiator or "", self.random.choice(ROLES)),
            book=self.maybe(self.random.choice(list(Book))),
            code=self.maybe(self.random.choice(list(Code))),
            look_alike=self.maybe(self.random.random() < 0.5),
            balance=self.maybe(self.random.choice([0, 1, 1_000, 20_000])),
            moved=self.maybe(self.moved()),
            price=self.maybe(self.price()),
        )

    def signed(self, item: Intent) -> list[tuple[Approval, str]]:
        """Approvals taken for valid: whose they are and of what role is what counts here."""
        return [
            (Approval(p, item.digest(), AT, "00" * 64), self.random.choice(ROLES))
            for p in self.random.sample(PEOPLE, self.random.randint(0, 5))
        ]


NAMES = [
    "amount_above",
    "amount_max",
    "book",
    "code",
    "destination",
    "initiator",
    "initiator_role",
    "look_alike",
    "share_above_bps",
    "share_max_bps",
    "value_above",
    "value_max",
    "velocity_above",
    "velocity_within",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.sqlite")
    with made.transaction():
        for tenant in (TENANT, UUID(int=9)):
            for n, (person, role) in enumerate(ENROLLED.items()):
                made.add_person(format_id("tenant", tenant), person, role, bytes([n] * 32))
    yield made
    made.close()


def audited(document: Any, item: Any, decision: Any, roles: dict[str, str]) -> tuple[Any, ...]:
    """Outcome, result, people asked for and what was unknown, as the auditor finds them."""
    facts = decision.get("facts") or {}
    said, rule, unknown = verify.judge(document, item, facts)
    if rule is None:
        return Outcome.REFUSE, said, 0, tuple(unknown)
    people = [role for person, role in roles.items() if person != verify.person_who_asked(item)]
    met = all(verify.have(people, g["roles"]) >= g["approvals"] for g in rule["quorum"])
    total = verify.asks(rule)
    return Outcome.ALLOW if met else Outcome.NEEDS_APPROVAL, said, total, tuple(unknown)


def asked_for_less(item: Any, decision: Any) -> bool:
    facts = decision.get("facts")
    windows = bool(facts) and facts["moved"] is not None
    return windows and len(facts.get("each", ())) != len(item.get("payouts", ()))


def ask(cases: Cases, store: Store) -> tuple[Outcome, bool]:
    """One random case; the outcome, and whether something was unknown."""
    body, item = cases.document(), cases.intent()
    signed = cases.signed(item)
    policy = parse(body)
    made = decide_on(policy, item, signed, now=AT, facts=cases.facts(item))
    ours = (made.outcome, made.rule, made.approvals_required, made.unknown)

    text = json.dumps([body, item.to_json(), made.to_json()], sort_keys=True)
    read_body, read_item, read_decision = json.loads(text)
    record = decision_from_json(read_decision)
    own, wanted = parse(read_body), Intent.from_json(read_item)
    if asked_for_less(read_item, read_decision):
        # The signer is stricter than the other two: it wants the facts of each payout.
        return made.outcome, bool(made.unknown)
    facts = facts_of(store, own, SignRequest(wanted, record, 0, 1, 1), int(AT.timestamp()))
    verdict = evaluate(own, wanted, facts or Facts())
    outcome = conclude(verdict, {a.person_id: role for a, role in signed}, wanted.person_id)
    assert (outcome, verdict.rule, verdict.approvals_required, verdict.unknown) == ours, text

    roles = {format_id("person", a.person_id): role for a, role in signed}
    assert audited(read_body, read_item, read_decision, roles) == ours, text
    return made.outcome, bool(made.unknown)


@pytest.mark.parametrize("count", [QUICK, pytest.param(FULL, marks=pytest.mark.deep)])
def test_all_three_agree(count: int, store: Store) -> None:
    cases = Cases(seed=count)
    seen = Counter(ask(cases, store) for _ in range(count))
    assert sum(seen.values()) == count
    for outcome in Outcome:
        assert seen[outcome, False] >= count // 50, seen
    assert seen[Outcome.REFUSE, True] >= count // 50, seen

"""What one decision costs, by CPU time: the worst case of the rule table, where nothing applies.

Every rule sets every condition, and only the last one fails, so that each rule is read to its end.
CPU time of this process, median of BATCHES batches: other programs on the machine do not count.
"""

import statistics
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chains.evm.address import address_from_bytes
from custody.core.facts import DAY_S, HOUR_S, Book, Code, Facts, Moved, Scope
from custody.core.ids import IntentId, TenantId, format_id
from custody.core.intents import Intent, IntentKind, Outcome
from custody.core.money import AssetId
from custody.core.prices import Price, ReferencePrice
from custody.policy.document import ANY, SCHEMA_2, Policy, parse
from custody.policy.evaluate import DEFAULT_DENY, evaluate
from scripts.benches.form import Measure

RULES = 100
BAR_US = 1_000
"""The issue's: 100 rules in under a millisecond."""
BATCHES, PER_BATCH = 21, 100
TENANT, PERSON = TenantId(UUID(int=1)), UUID(int=2)
CHAIN = 1
ASSET = AssetId(f"eip155:{CHAIN}/slip44:60")


def measure() -> list[Measure]:
    rows = []
    for name, policy in (("every condition", _policy(_all())), ("amount alone", _policy({}))):
        value = _median_us(policy, _intent(), _facts())
        rows.append(Measure(f"{RULES} rules, {name}", value, "us CPU", None, BAR_US, at_most=True))
    return rows


def _median_us(policy: Policy, intent: Intent, facts: Facts) -> float:
    verdict = evaluate(policy, intent, facts)
    if (verdict.outcome, verdict.rule) != (Outcome.REFUSE, DEFAULT_DENY):
        raise RuntimeError("a rule applied: this is not the worst case")
    took = []
    for _ in range(BATCHES):
        start = time.process_time_ns()
        for _ in range(PER_BATCH):
            evaluate(policy, intent, facts)
        took.append((time.process_time_ns() - start) / PER_BATCH / 1_000)
    return round(statistics.median(took), 1)


def _policy(when: dict[str, Any]) -> Policy:
    last = {"value_above": _usd(10**18)} if when else {"amount_above": str(10**18)}
    rules: list[dict[str, Any]] = [
        {
            "name": f"rule-{i}",
            "effect": "deny" if i % 2 else "allow",
            "kind": "payout",
            "asset": ASSET,
            "when": {**when, **last},
            "quorum": [],
        }
        for i in range(RULES)
    ]
    place = {
        role: _address(n)
        for n, role in enumerate(("treasury", "payout", "gas", "allocator", "anchorer"), 1)
    }
    return parse(
        {
            "schema": SCHEMA_2,
            "tenant": format_id("tenant", TENANT),
            "version": 1,
            "previous": None,
            "rules": rules,
            "limits": [{"asset": ANY, "window_s": DAY_S, "amount_max": "0"}],
            "places": {
                str(CHAIN): {**place, "guards": {}, "sweeper": None, "anchor": None, "payees": []}
            },
        }
    )


def _all() -> dict[str, Any]:
    """Every condition but the last, each set so that it holds."""
    windows = [
        {"scope": scope.value, "window_s": s, "amount_max": str(10**20), "count_max": 100}
        for scope in Scope
        for s in (HOUR_S, DAY_S)
    ]
    tight = [{**windows[0], "amount_max": "0"}]
    return {
        "amount_max": str(10**18),
        "amount_above": "1",
        "destination": [_address(9)],
        "book": ["active"],
        "code": ["account"],
        "look_alike": False,
        "initiator": [format_id("person", PERSON)],
        "initiator_role": ["clerk"],
        "velocity_within": windows,
        "velocity_above": tight,
        "share_max_bps": 10_000,
        "share_above_bps": 0,
        "value_max": _usd(10**18),
    }


def _usd(amount: int) -> dict[str, str]:
    return {"currency": "USD", "amount": str(amount)}


def _facts() -> Facts:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    dear, cheap = (Price(ASSET, "USD", v, 18, s, at, 1) for v, s in ((3_001, "a"), (3_000, "b")))
    moved = {(scope, s): Moved(10**18, 3) for scope in Scope for s in (HOUR_S, DAY_S)}
    return Facts(
        PERSON,
        "clerk",
        Book.ACTIVE,
        Code.ACCOUNT,
        False,
        10**20,
        moved,
        ReferencePrice(dear, cheap),
    )


def _intent() -> Intent:
    payee = _address(9)
    return Intent(
        id=IntentId(UUID(int=3)),
        tenant_id=TENANT,
        kind=IntentKind.PAYOUT,
        chain_id=CHAIN,
        sender=_address(2),
        sender_path="2/1",
        to=payee,
        value=10**18,
        data="0x",
        asset_id=ASSET,
        amount=10**18,
        beneficiary=payee,
        gas_limit=21_000,
        fee_max_wei=1,
        reference="",
    )


def _address(number: int) -> str:
    return address_from_bytes(number.to_bytes(20, "big"))

"""The closed table of conditions that a rule may set. SEMANTICS.md says what each means.

Each is read once into its operand, and then tells of an intent and facts: True, False, or None
where the fact that it asks for is not known. There is no other way to write a condition.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chains.evm.address import is_checksummed
from custody.core.facts import WINDOWS_S, Book, Code, Facts, Scope
from custody.core.ids import parse_id
from custody.core.intents import Intent
from custody.core.money import parse_amount
from custody.core.prices import BPS, CURRENCY, is_worth_at_most
from custody.policy.strict import fields, integer, items, require, text

_ROLE = re.compile(r"[a-z][a-z_]{0,31}")
_WINDOW = frozenset({"scope", "window_s", "amount_max", "count_max"})
_WORTH = frozenset({"currency", "amount"})
_COUNT_MAX = 10**9

Test = Callable[[Any, Intent, Facts], bool | None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: its name, what it was set to, and how it is told."""

    name: str
    operand: Any
    test: Test


@dataclass(frozen=True, slots=True)
class Window:
    """At most so much and so often in a rolling window, this intent included. None: any."""

    scope: Scope
    window_s: int
    amount_max: int | None
    count_max: int | None


@dataclass(frozen=True, slots=True)
class Worth:
    """Millionths of a reference currency."""

    currency: str
    amount: int


def read(value: object, field: str) -> tuple[Condition, ...]:
    """The conditions of one rule, in the table's order. Raises InvalidInput."""
    require(isinstance(value, dict), field, "must be an object")
    assert isinstance(value, dict)
    for name in sorted(set(map(str, value)) - set(_TABLE)):
        require(False, f"{field}.{name}", "is not a condition")
    return tuple(
        Condition(name, parse(value[name], f"{field}.{name}"), test)
        for name, (parse, test) in _TABLE.items()
        if name in value
    )


def within(windows: tuple[Window, ...], intent: Intent, facts: Facts) -> bool | None:
    """Whether this intent, added to what went before, keeps within every window."""
    if facts.moved is None:
        return None
    for w in windows:
        before = facts.moved.get((w.scope, w.window_s))
        if before is None:
            return None
        if w.amount_max is not None and before.amount + intent.amount > w.amount_max:
            return False
        if w.count_max is not None and before.count + 1 > w.count_max:
            return False
    return True


def looks_like(address: str, known: str) -> bool:
    """Same first and last four hex digits as another address: how poisoned histories deceive."""
    a, b = address[2:].lower(), known[2:].lower()
    return a != b and a[:4] == b[:4] and a[-4:] == b[-4:]


def _amount(value: object, field: str) -> int:
    return parse_amount(value, field, 0)


def _worth(value: object, field: str) -> Worth:
    w = fields(value, field, _WORTH)
    currency = text(w["currency"], f"{field}.currency")
    good = CURRENCY.fullmatch(currency) is not None
    require(good, f"{field}.currency", "must be 3 to 8 capital letters")
    return Worth(currency, _amount(w["amount"], f"{field}.amount"))


def _bps(value: object, field: str) -> int:
    return integer(value, field, 0, BPS)


def _yes(value: object, field: str) -> bool:
    require(type(value) is bool, field, "must be true or false")
    return bool(value)


def _set_of(check: Callable[[str], bool], rule: str) -> Callable[[object, str], frozenset[str]]:
    def parse(value: object, field: str) -> frozenset[str]:
        found = [text(x, field) for x in items(value, field)]
        good = bool(found) and all(map(check, found)) and len(set(found)) == len(found)
        require(good, field, f"must be distinct {rule}, at least one")
        return frozenset(found)

    return parse


def _persons(value: object, field: str) -> frozenset[Any]:
    found = [parse_id("person", text(x, field), field) for x in items(value, field)]
    require(bool(found) and len(set(found)) == len(found), field, "must be distinct, at least one")
    return frozenset(found)


def _windows(value: object, field: str) -> tuple[Window, ...]:
    found = tuple(_window(x, f"{field}[{i}]") for i, x in enumerate(items(value, field)))
    require(bool(found), field, "must name a window")
    return found


def _window(value: object, field: str) -> Window:
    w = fields(value, field, _WINDOW)
    scope = text(w["scope"], f"{field}.scope")
    require(scope in {s.value for s in Scope}, f"{field}.scope", "must be global or destination")
    length = w["window_s"]
    known = type(length) is int and length in WINDOWS_S
    require(known, f"{field}.window_s", "must be 3600 or 86400")
    amount, count = w["amount_max"], w["count_max"]
    require(amount is not None or count is not None, field, "must bound amount or count")
    return Window(
        Scope(scope),
        length,
        None if amount is None else _amount(amount, f"{field}.amount_max"),
        None if count is None else integer(count, f"{field}.count_max", 0, _COUNT_MAX),
    )


def _worth_at_most(bound: Worth, intent: Intent, facts: Facts) -> bool | None:
    """A price of another asset or currency is no price."""
    price = facts.price
    if price is None or (price.asset_id, price.currency) != (intent.asset_id, bound.currency):
        return None
    return is_worth_at_most(intent.amount, price, bound.amount)


def _worth_above(bound: Worth, intent: Intent, facts: Facts) -> bool | None:
    at_most = _worth_at_most(bound, intent, facts)
    return None if at_most is None else not at_most


def _share_at_most(bps: int, intent: Intent, facts: Facts) -> bool | None:
    return None if facts.balance is None else intent.amount * BPS <= bps * facts.balance


def _share_above(bps: int, intent: Intent, facts: Facts) -> bool | None:
    at_most = _share_at_most(bps, intent, facts)
    return None if at_most is None else not at_most


def _beyond(windows: tuple[Window, ...], intent: Intent, facts: Facts) -> bool | None:
    inside = within(windows, intent, facts)
    return None if inside is None else not inside


def _one_of(fact: Callable[[Facts], Any]) -> Test:
    def test(allowed: frozenset[Any], intent: Intent, facts: Facts) -> bool | None:
        value = fact(facts)
        return None if value is None else value in allowed

    return test


def _asked_by(persons: frozenset[Any], intent: Intent, facts: Facts) -> bool | None:
    """A customer is none of them, for certain; of a job nobody can tell."""
    if intent.is_customers:
        return False
    return None if facts.initiator is None else facts.initiator in persons


def _looks_alike(wanted: bool, intent: Intent, facts: Facts) -> bool | None:
    return None if facts.look_alike is None else facts.look_alike is wanted


_addresses = _set_of(is_checksummed, "EIP-55 addresses")
_roles = _set_of(lambda x: _ROLE.fullmatch(x) is not None, "role names")
_books = _set_of(lambda x: x in set(Book), "of active, cooling, absent")
_codes = _set_of(lambda x: x in set(Code), "of contract, account")

_TABLE: dict[str, tuple[Callable[[object, str], Any], Test]] = {
    "amount_max": (_amount, lambda bound, intent, facts: intent.amount <= bound),
    "amount_above": (_amount, lambda bound, intent, facts: intent.amount > bound),
    "destination": (_addresses, lambda these, intent, facts: intent.beneficiary in these),
    "book": (_books, _one_of(lambda facts: facts.book)),
    "code": (_codes, _one_of(lambda facts: facts.code)),
    "look_alike": (_yes, _looks_alike),
    "initiator": (_persons, _asked_by),
    "initiator_role": (_roles, _one_of(lambda facts: facts.initiator_role)),
    "velocity_within": (_windows, within),
    "velocity_above": (_windows, _beyond),
    "share_max_bps": (_bps, _share_at_most),
    "share_above_bps": (_bps, _share_above),
    "value_max": (_worth, _worth_at_most),
    "value_above": (_worth, _worth_above),
}


AMOUNT_MAX_TEST = _TABLE["amount_max"][1]

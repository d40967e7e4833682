"""Exact splits: in proportion, or by rules in order of priority. Pure: no clock, no database.

What the rules of `split_by_rules` mean, all amounts in base units of one asset:

1. Priorities are served from the lowest number up; a priority sees what those before it left.
2. In one priority the claims come first: Fixed claims its `amount`, Percent claims
   floor(whole * share_ppm / 1_000_000) of the WHOLE amount; neither claims more than its `cap`.
3. Where less is left than one priority claims, it is `split` in proportion to the claims, after
   their caps; the remainders of that priority and all later priorities get nothing.
4. Remainders share what the claims of their priority left, `split` by `weight`. One that would get
   more than its `cap` gets its cap, and the others share the excess by the same rule; what even
   they cannot take goes on to the next priority.
5. What no rule takes is an error, never lost. Percents are floored, so even 100 % of them can
   leave a few units: only a Remainder without a cap makes every amount come out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from custody.core.errors import InvalidInput
from custody.core.money import mul_div_down

PPM = 1_000_000
NUMBERS_MIN = {"amount": 0, "share_ppm": 0, "weight": 1, "cap": 0, "priority": 0}

To = TypeVar("To")


@dataclass(frozen=True, slots=True)
class Fixed(Generic[To]):
    """Claims `amount` base units. `cap`: at most so many base units; None: no cap."""

    to: To
    amount: int
    cap: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Percent(Generic[To]):
    """Claims `share_ppm` millionths of the whole amount, rounded down."""

    to: To
    share_ppm: int
    cap: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Remainder(Generic[To]):
    """Takes what the claims of its priority left; several share it by `weight`."""

    to: To
    weight: int = 1
    cap: int | None = None
    priority: int = 0


Rule: TypeAlias = Fixed[To] | Percent[To] | Remainder[To]


@dataclass(frozen=True, slots=True)
class Part(Generic[To]):
    """`amount` base units for `to`, at least 1."""

    to: To
    amount: int


def split(amount: int, shares: Sequence[int]) -> list[int]:
    """`amount` base units in proportion to `shares`; the parts sum to exactly `amount`.

    Every part is floored, then the rest is handed out one unit each, first to last, to those with
    a share. Requires amount >= 0 and shares >= 0, not all zero; raises InvalidInput.
    """
    if amount < 0:
        raise InvalidInput("amount", "must not be negative")
    total = sum(shares)
    if total <= 0 or min(shares) < 0:
        raise InvalidInput("shares", "must be zero or more, and not all zero")
    parts = [amount * share // total for share in shares]
    rest = amount - sum(parts)
    for i, share in enumerate(shares):
        if rest == 0:
            break
        if share:
            parts[i] += 1
            rest -= 1
    return parts


def split_by_rules(amount: int, rules: Sequence[Rule[To]]) -> list[Part[To]]:
    """`amount` base units by `rules`, as the top of this file says; the parts sum to `amount`.

    Parts come in the order of the rules, one a rule: two rules for one `to` give two parts. A rule
    that gets nothing has no part, since the ledger posts no zero.

    Raises InvalidInput, checked in this order: `amount` or a number of a rule (`rules[2].cap`) is
    not whole or below `NUMBERS_MIN`; the percents of one priority exceed 100 %; a rule's priority
    is after that of a Remainder without a cap, so it could never get anything; something is left.
    """
    _check_whole("amount", amount, 0)
    _check_rules(rules)
    parts = [0] * len(rules)
    left = amount
    for priority in sorted({rule.priority for rule in rules}):
        places = [i for i, rule in enumerate(rules) if rule.priority == priority]
        served = _serve(amount, left, [rules[i] for i in places])
        for i, part in zip(places, served, strict=True):
            parts[i] = part
        left -= sum(served)
    if left:
        raise InvalidInput("rules", f"must give out the whole amount, but leave {left}")
    return [Part(rule.to, part) for rule, part in zip(rules, parts, strict=True) if part]


def _serve(whole: int, left: int, rules: Sequence[Rule[To]]) -> list[int]:
    """What each rule of one priority gets of `left`: claims first, then remainders."""
    claims = [_claim_down(whole, rule) for rule in rules]
    if sum(claims) > left:
        return split(left, claims)
    fills = _fill(left - sum(claims), rules)
    return [claim + fill for claim, fill in zip(claims, fills, strict=True)]


def _claim_down(whole: int, rule: Rule[To]) -> int:
    match rule:
        case Fixed():
            return _capped(rule.amount, rule.cap)
        case Percent():
            return _capped(mul_div_down(whole, rule.share_ppm, PPM), rule.cap)
        case Remainder():
            return 0


def _fill(left: int, rules: Sequence[Rule[To]]) -> list[int]:
    """`left` by weight to the remainders among `rules`; less than all of it where all are full.

    A round either fits, or fills at least one remainder to its cap and shares again without it.
    Filling one never starves another: it takes less than its share, so the others' shares grow.
    """
    weights = [rule.weight if isinstance(rule, Remainder) else 0 for rule in rules]
    parts = [0] * len(rules)
    while any(weights):
        shared = split(left, weights)
        capped = [_capped(part, rule.cap) for part, rule in zip(shared, rules, strict=True)]
        full = [i for i in range(len(rules)) if capped[i] < shared[i]]
        if not full:
            return [part + rest for part, rest in zip(parts, shared, strict=True)]
        for i in full:
            parts[i], weights[i] = capped[i], 0
            left -= capped[i]
    return parts


def _capped(amount: int, cap: int | None) -> int:
    return amount if cap is None else min(amount, cap)


def _check_rules(rules: Sequence[Rule[To]]) -> None:
    sums_ppm: Counter[int] = Counter()
    for i, rule in enumerate(rules):
        for name in rule.__slots__:
            value = getattr(rule, name)
            if name in NUMBERS_MIN and not (name == "cap" and value is None):
                _check_whole(f"rules[{i}].{name}", value, NUMBERS_MIN[name])
        if isinstance(rule, Percent):
            sums_ppm[rule.priority] += rule.share_ppm
    if max(sums_ppm.values(), default=0) > PPM:
        raise InvalidInput("rules.share_ppm", f"must sum to at most {PPM} in one priority")
    ends = [r.priority for r in rules if isinstance(r, Remainder) and r.cap is None]
    if ends and max(rule.priority for rule in rules) > min(ends):
        raise InvalidInput("rules.priority", "must not be after a Remainder without a cap")


def _check_whole(field: str, value: object, minimum: int) -> None:
    # Not isinstance: to Python a bool is an int, and True units of money are a mistake.
    if type(value) is not int or value < minimum:
        raise InvalidInput(field, f"must be a whole number, at least {minimum}")

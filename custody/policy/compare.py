"""Whether a new version of a policy is nowhere milder than the old one. Pure, and conservative.

What is not provably tighter is a loosening. `True` promises: whatever intent and facts, the new
version refuses, or the old one let it pass with the same people or fewer; limits are as tight;
and no place is other than it was. SEMANTICS.md says it in words.
"""

from collections.abc import Callable, Mapping
from typing import Any

from custody.policy.conditions import Condition
from custody.policy.document import ANY, Effect, Group, HotLimit, Limit, Places, Policy, Rule


def is_tightening(old: Policy, new: Policy) -> bool:
    """Requires both to be of one tenant; another one's is no tightening."""
    return (
        old.tenant_id == new.tenant_id
        and old.body["schema"] == new.body["schema"]
        and _denies_all(old, new)
        and _allows_less(old, new)
        and _limits_hold(old.limits, new.limits)
        and _hot_limits_hold(old.hot_limits, new.hot_limits)
        and _places_hold(old.places, new.places)
        and new.cooling_s >= old.cooling_s
        and _changes_as_hard(old, new)
    )


_ALWAYS_KNOWN = frozenset({"amount_max", "amount_above", "destination"})


def _denies_all(old: Policy, new: Policy) -> bool:
    """Every denial stays as it is; names do not matter, order neither: the first one refuses."""
    kept = [_substance(r) for r in _of(new, Effect.DENY)]
    return all(_substance(r) in kept for r in _of(old, Effect.DENY))


def _allows_less(old: Policy, new: Policy) -> bool:
    """Each new permission narrows an old one, in the old order, and nothing falls through to it.

    An old rule that is gone or narrower lets some intents go on to a later rule. That is milder
    unless the later one asks for at least what the old one did.
    """
    before, after = _of(old, Effect.ALLOW), _of(new, Effect.ALLOW)
    start = 0
    for index, rule in enumerate(after):
        found = next((i for i in range(start, len(before)) if _narrows(before[i], rule)), None)
        if found is None:
            return False
        start = found + 1
        stays = [_substance(r) for r in after[:index]]
        for earlier in before[:found]:
            gone = _may_meet(earlier, rule) and _substance(earlier) not in stays
            if gone and not _may_fall_through(earlier, rule):
                return False
    return True


def _may_fall_through(earlier: Rule, later: Rule) -> bool:
    """A condition whose fact was not known made the earlier rule refuse, and no longer would."""
    always_told = all(c.name in _ALWAYS_KNOWN for c in earlier.conditions)
    return always_told and _asks_as_much(earlier.groups, later.groups)


def _narrows(old: Rule, new: Rule) -> bool:
    """Whatever the new rule applies to, the old one did, with the same people or fewer."""
    if old.kind is not new.kind or old.asset not in (ANY, new.asset):
        return False
    set_now = {c.name: c for c in new.conditions}
    narrower = all(c.name in set_now and _is_narrower(c, set_now[c.name]) for c in old.conditions)
    return narrower and _asks_as_much(old.groups, new.groups)


def _may_meet(one: Rule, other: Rule) -> bool:
    """Whether an intent can be of both rules' kind and asset."""
    return one.kind is other.kind and (one.asset == other.asset or ANY in (one.asset, other.asset))


def _asks_as_much(old: tuple[Group, ...], new: tuple[Group, ...]) -> bool:
    """Whoever meets the new quorum meets the old one. A role stands in one group only, so no two
    old groups lean on the same new one."""
    return all(
        any(set(n.roles) <= set(o.roles) and n.approvals >= o.approvals for n in new) for o in old
    )


_NARROWER: Mapping[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("amount_max", "share_max_bps"), lambda old, new: new <= old),
    **dict.fromkeys(("amount_above", "share_above_bps"), lambda old, new: new >= old),
    **dict.fromkeys(
        ("destination", "book", "code", "initiator", "initiator_role"),
        lambda old, new: new <= old,
    ),
    "value_max": lambda old, new: new.currency == old.currency and new.amount <= old.amount,
    "value_above": lambda old, new: new.currency == old.currency and new.amount >= old.amount,
}
"""By condition: whether the new operand holds for no more. Others must be the same."""


def _is_narrower(old: Condition, new: Condition) -> bool:
    told = _NARROWER.get(old.name, lambda one, other: bool(one == other))
    return told(old.operand, new.operand)


def _limits_hold(old: tuple[Limit, ...], new: tuple[Limit, ...]) -> bool:
    """No limit is higher or gone, and no asset has its first one.

    An asset's own limits take the place of those for every asset, and an asset without any passes
    nothing unattended: so a new name can only be more.
    """
    if {x.asset for x in old} != {x.asset for x in new}:
        return False
    return all(
        any(
            (n.asset, n.window_s) == (o.asset, o.window_s) and n.amount_max <= o.amount_max
            for n in new
        )
        for o in old
    )


def _hot_limits_hold(old: tuple[HotLimit, ...], new: tuple[HotLimit, ...]) -> bool:
    """No hot limit is higher or gone. A new one only takes payments away from the hot wallet."""
    return all(any(n.asset == o.asset and n.amount_max <= o.amount_max for n in new) for o in old)


def _places_hold(old: Mapping[int, Places], new: Mapping[int, Places]) -> bool:
    """Chains and payees may go; all other places stay: an address that is no place any more could
    be paid as somebody outside."""
    return all(chain in old and _place_holds(old[chain], new[chain]) for chain in new)


def _place_holds(old: Places, new: Places) -> bool:
    fixed = ("treasury", "payout", "gas", "allocator", "anchorer")
    contracts = ("guards", "sweeper", "anchor", "payouts", "safe", "hub")
    same = all(getattr(old, name) == getattr(new, name) for name in (*fixed, *contracts))
    return same and set(new.payees) <= set(old.payees)


def _changes_as_hard(old: Policy, new: Policy) -> bool:
    if old.change is None:
        return True
    change = new.change
    return (
        change is not None
        and change.delay_s >= old.change.delay_s
        and change.approvals >= old.change.approvals
    )


def _of(policy: Policy, effect: Effect) -> list[Rule]:
    return [r for r in policy.rules if r.effect is effect]


def _substance(rule: Rule) -> tuple[object, ...]:
    return rule.effect, rule.kind, rule.asset, rule.conditions, rule.groups

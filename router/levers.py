"""Every limit of a problem under its name, as "these venues hold at most this"; and a milder one.

Pure. Names are those of an allocation's prices. What a venue itself sets (capacity, refusal) is no
limit of ours and is not here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from custody.core.money import mul_div_down, mul_div_up
from router.limits import total_of
from router.problem import AllocationInput, VenueInput
from router.tiers import WAD, Tier, VenueLimit, share_down, share_up

BUFFER = "liquidity_buffer"


class Unit(StrEnum):
    AMOUNT = "amount"  # base units
    SHARE = "share"  # WAD of the pool, at most
    FLOOR = "floor"  # WAD of the pool that stays outside, at least


@dataclass(frozen=True, slots=True)
class Bound:
    """`value` is what the policy says in `unit`; `amount` what it comes to in base units now."""

    name: str
    venues: frozenset[str]
    unit: Unit
    value: int
    amount: int


def bounds(problem: AllocationInput) -> tuple[Bound, ...]:
    """The buffer, each tier, each venue's own limits, each group."""
    total, limits = total_of(problem), problem.limits
    everything = frozenset(v.id for v in problem.venues)
    share = limits.buffer_share_wad
    found = [Bound(BUFFER, everything, Unit.FLOOR, share, total - share_up(total, share))]
    for tier, part in limits.tiers.items():
        inside = frozenset(v.id for v in problem.venues if v.tier is tier)
        name = f"tier:{tier.value}"
        found.append(Bound(name, inside, Unit.SHARE, part, share_down(total, part)))
    for v in problem.venues:
        found += _of_venue(v, limits.venues[v.id], total)
    found += [Bound(f"group:{g.name}", g.venues, Unit.AMOUNT, g.cap, g.cap) for g in problem.groups]
    return tuple(found)


def _of_venue(v: VenueInput, rule: VenueLimit, total: int) -> Iterable[Bound]:
    one, cap, part = frozenset({v.id}), rule.amount_max, rule.share_max_wad
    yield Bound(f"venue:{v.id}:cap", one, Unit.AMOUNT, cap, cap)
    yield Bound(f"venue:{v.id}:share_max", one, Unit.SHARE, part, share_down(total, part))
    if v.amount_max is not None:
        most = v.amount_max
        yield Bound(f"venue:{v.id}:{v.limit}", one, Unit.AMOUNT, most, most)


def value_for(bound: Bound, amount: int, total: int) -> int:
    """The strictest value, in the bound's unit, under which `amount` is allowed.

    A share never passes the whole pool: above that the amount is not reached.
    """
    if bound.unit is Unit.AMOUNT:
        return amount
    if total == 0:
        return WAD if bound.unit is Unit.SHARE else 0
    if bound.unit is Unit.SHARE:
        return min(mul_div_up(max(amount, 0), WAD, total), WAD)
    return mul_div_down(max(total - amount, 0), WAD, total)


def with_value(problem: AllocationInput, bound: Bound, value: int) -> AllocationInput:
    """The same problem with this one limit set otherwise."""
    kind, _, name = bound.name.partition(":")
    if bound.name == BUFFER:
        return replace(problem, limits=replace(problem.limits, buffer_share_wad=value))
    if kind == "tier":
        tiers = {**problem.limits.tiers, Tier(name): value}
        return replace(problem, limits=replace(problem.limits, tiers=tiers))
    if kind == "group":
        groups = tuple(replace(g, cap=value) if g.name == name else g for g in problem.groups)
        return replace(problem, groups=groups)
    id_, _, rule = name.rpartition(":")
    return _with_venue(problem, id_, rule, value)


def _with_venue(problem: AllocationInput, id_: str, rule: str, value: int) -> AllocationInput:
    if rule in ("cap", "share_max"):
        old = problem.limits.venues[id_]
        field = {"amount_max": value} if rule == "cap" else {"share_max_wad": value}
        venues = {**problem.limits.venues, id_: replace(old, **field)}
        return replace(problem, limits=replace(problem.limits, venues=venues))
    inputs = tuple(replace(v, amount_max=value) if v.id == id_ else v for v in problem.venues)
    return replace(problem, venues=inputs)

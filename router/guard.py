"""The live guard: what speaks against an entry just before it, whatever the plan said. Pure.

Exits are never asked this. Rates are ray, shares of a whole are WAD, bounds are basis points. A
bound that is met exactly passes, except a jump: half as much again, or half, is one already.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from router.curves import BPS, Curve, marginal_down, rate_ray_down
from router.lending_curves import Kinked
from router.objections import Code, Objection
from router.price_watch import PriceLook, price_objections
from router.rates.check import RateRule, check
from router.risk.guard_rule import GuardRule
from router.tiers import WAD
from router.venues.port import VenueState


@dataclass(frozen=True, slots=True)
class Planned:
    """The venue in the plan: its curve, what was to lie there, the shares an entry of the same
    amount gave at the plan's block (0 where there are none)."""

    curve: Curve
    target: int
    shares: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of `amount` that is about to be sent, and the world at the newest block.

    `last` is the curve of the newest stored read, `prices` what is said of the pool's asset and
    of the venue's receipt where they are watched, `barred` what the books have against the venue.
    """

    amount: int
    now_s: int
    state: VenueState
    shares: int
    planned: Planned | None
    last: Curve | None
    prices: tuple[PriceLook, ...] = ()
    barred: tuple[Objection, ...] = ()
    limits: tuple[Objection, ...] = ()


def objections(entry: Entry, rule: GuardRule) -> tuple[Objection, ...]:
    """Everything that speaks against it, in the order of `Code`; () if nothing does."""
    found = [*entry.barred, *_venue(entry, rule), *_rates(entry, rule), *entry.limits]
    for look in entry.prices:
        found += price_objections(look, rule.jump_bps, rule.depeg_max_bps)
    order = list(Code)
    return tuple(sorted(found, key=lambda o: order.index(o.code)))


def _venue(entry: Entry, rule: GuardRule) -> list[Objection]:
    state, found = entry.state, []
    age_s = entry.now_s - state.as_of.timestamp
    if age_s > rule.age_max_s:
        found.append(Objection(Code.STALE, f"the newest block is {age_s} s old"))
    if state.refusal:
        found.append(Objection(Code.REFUSED, state.refusal))
    if state.capacity is not None and state.capacity < entry.amount:
        found.append(Objection(Code.CAPACITY, "the venue takes less than planned"))
    used = utilisation_after_wad(state, entry.amount)
    if used is not None and used > rule.utilisation_max_wad:
        found.append(Objection(Code.UTILISATION, f"{_percent(used)} would be lent out with us"))
    return found + _thin(entry, rule)


def _thin(entry: Entry, rule: GuardRule) -> list[Objection]:
    """Liquidity that all depositors share is compared with all that would be ours; without such a
    figure, what we have there already has to be able to leave."""
    state = entry.state
    if state.liquidity is not None:
        ours, free = state.position + entry.amount, state.liquidity
    else:
        ours, free = state.position, state.withdrawable
    if not _thin_by(free, ours, rule):
        return []
    return [Objection(Code.THIN, f"{free} can leave now, {ours} would be ours")]


def room_down(state: VenueState, rule: GuardRule) -> int | None:
    """The most that may enter at once before the venue is too thin; None: no such limit.

    For plans: what the guard would refuse anyway must not be planned, again and again. A hundredth
    less than `_thin` allows, since interest and others move what is compared until the entry.
    """
    if state.liquidity is None:
        return 0 if _thin_by(state.withdrawable, state.position, rule) else None
    if rule.cover_wad == 0:
        return None
    most = state.liquidity * WAD // rule.cover_wad
    return max(most - most // 100 - state.position, 0)


def _thin_by(free: int, ours: int, rule: GuardRule) -> bool:
    return free * WAD < ours * rule.cover_wad


def utilisation_after_wad(state: VenueState, amount: int) -> int | None:
    """The lent share with our entry in it, rounded up; None for a venue that lends nothing."""
    if isinstance(state.curve, Kinked):
        debt, size = state.curve.debt, state.curve.supply + state.position + amount
        return -(-debt * WAD // size) if size else None
    if state.utilisation_wad is None or state.supply is None or state.supply + amount == 0:
        return None
    return -(-state.utilisation_wad * state.supply // (state.supply + amount))


def _rates(entry: Entry, rule: GuardRule) -> list[Objection]:
    state, found = entry.state, []
    x = state.position + entry.amount
    last_unit = marginal_down(state.curve, x)
    if last_unit <= 0:
        found.append(Objection(Code.NOTHING, "the last unit would earn nothing"))
    planned = entry.planned
    if planned is not None:
        wanted = marginal_down(planned.curve, max(planned.target, 1))
        if last_unit * BPS < wanted * (BPS - rule.moved_max_bps):
            reason = f"the last unit earns {_rate(last_unit)}, planned were {_rate(wanted)}"
            found.append(Objection(Code.RATE_MOVED, reason))
        found += _share_price(entry.shares, planned.shares, rule)
    then = None if planned is None else planned.curve
    for name, before in (("the plan", then), ("the last read", entry.last)):
        if before is not None and jumped(before, state.curve, x, rule.jump_bps):
            reason = f"the rate has jumped since {name}: {rates_text(before, state.curve, x)}"
            found.append(Objection(Code.RATE_JUMP, reason))
    return found + _own_word(state, rule) + quoted(state, entry.now_s)


def _share_price(now: int, before: int, rule: GuardRule) -> list[Objection]:
    """Shares for the same amount, now and at the plan's block: their price, turned over."""
    if before == now == 0:
        return []
    if abs(now - before) * BPS <= before * rule.share_price_max_bps:
        return []
    return [Objection(Code.SHARE_JUMP, f"the amount gives {now} shares, in the plan {before}")]


def _own_word(state: VenueState, rule: GuardRule) -> list[Objection]:
    """The rate by our curve against the one that the venue states itself, where it does."""
    stated = state.facts.get("rate_ray")
    if stated is None or not stated.isdigit():
        return []
    ours, theirs = rate_ray_down(state.curve, state.position), int(stated)
    if abs(ours - theirs) * BPS <= max(ours, theirs) * rule.disagree_max_bps:
        return []
    reason = f"the venue states {_rate(theirs)}, its state gives {_rate(ours)}"
    return [Objection(Code.RATE_DISAGREES, reason)]


def quoted(state: VenueState, now_s: int) -> list[Objection]:
    """What speaks against a rate that is quoted by somebody and not computed from the chain."""
    if not state.quotes:
        return []
    reasons = check(state.quotes, RateRule(), datetime.fromtimestamp(now_s, UTC))
    return [Objection(Code.RATE_DOUBTED, reason) for reason in reasons]


def jumped(before: Curve, now: Curve, x: int, jump_bps: int) -> bool:
    """Whether a deposit of x earns that much more or less than before. From or to nothing is one.

    Both curves are without our own deposit, so that our own moves are no jump.
    """
    old, new = rate_ray_down(before, x), rate_ray_down(now, x)
    return old != new and abs(new - old) * BPS >= old * jump_bps


def rates_text(before: Curve, now: Curve, x: int) -> str:
    return f"{_rate(rate_ray_down(before, x))} to {_rate(rate_ray_down(now, x))}"


def _rate(rate_ray: int) -> str:
    return _percent(rate_ray // 10**9)


def _percent(wad: int) -> str:
    """Two places, towards zero: 0.05 in WAD is "5.00 %"."""
    hundredths = abs(wad) * BPS // WAD
    return f"{'-' if wad < 0 else ''}{hundredths // 100}.{hundredths % 100:02d} %"

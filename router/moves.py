"""From an optimum to moves worth making, each with its reason. Pure.

Every leg must clear the ticket: yield alone lifts a position over its cap by a few units every
block, and chasing them would cost more than they are. Forced exits (a cap was lowered, the buffer
is short) go whatever they cost; all else together must clear the minimum gain over the horizon.
What is dropped says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from router.curves import RAY, YEAR_S, income_down, marginal_down, rate_ray_down
from router.problem import AllocationInput, Room, VenueInput
from router.solver import Solution
from router.tiers import Tier


class Action(StrEnum):
    ENTER = "enter"
    EXIT = "exit"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Move:
    """One venue's part of the plan. Rates are APR in ray, before and after."""

    venue: str
    action: Action
    amount: int
    before: int
    after: int
    rate_before_ray: int
    rate_after_ray: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Final targets; `dropped` maps a venue's index to why its optimum was not followed."""

    targets: tuple[int, ...]
    dropped: Mapping[int, str]
    forced: frozenset[int]
    gain: int
    held: str


def settle_moves(
    problem: AllocationInput,
    rooms: Sequence[Room],
    optimum: Sequence[int],
    caps: Mapping[Tier, int],
    budget: int,
    buffer: int,
) -> Settled:
    """Drop what is too small, then trim entries to what exits and idle money really give."""
    venues = problem.venues
    forced = _forced(venues, rooms, optimum, caps, budget)
    dropped: dict[int, str] = {}
    targets = [v.position for v in venues]
    for i, v in enumerate(venues):
        if optimum[i] < v.position:
            if v.position - optimum[i] < problem.rule.ticket:
                dropped[i] = "below-ticket"
            else:
                targets[i] = optimum[i]
    free = problem.idle - problem.reserved - buffer
    free += sum(v.position - x for v, x in zip(venues, targets, strict=True))
    free = max(min(free, budget - sum(targets)), 0)
    room = dict(caps)
    for v, x in zip(venues, targets, strict=True):
        room[v.tier] -= x
    entering = [i for i, v in enumerate(venues) if optimum[i] > v.position]
    for i in sorted(entering, key=lambda i: (-marginal_down(venues[i].curve, optimum[i]), i)):
        amount = min(optimum[i] - venues[i].position, free, max(room[venues[i].tier], 0))
        if amount < problem.rule.ticket:
            small = optimum[i] - venues[i].position < problem.rule.ticket
            dropped[i] = "below-ticket" if small else "no-free-money"
            continue
        targets[i] += amount
        free -= amount
        room[venues[i].tier] -= amount
    return _worth_it(problem, targets, dropped, forced)


def _worth_it(
    problem: AllocationInput, targets: list[int], dropped: dict[int, str], forced: frozenset[int]
) -> Settled:
    """Hold everything unless the gain pays, or an exit is forced."""
    venues = problem.venues
    gain = horizon_gain(problem, targets)
    moving = any(x != v.position for v, x in zip(venues, targets, strict=True))
    if not moving:
        return Settled(tuple(targets), dropped, forced, 0, "nothing to move")
    forced = frozenset(i for i in forced if i not in dropped)
    if forced or (gain >= problem.rule.min_gain and gain > 0):
        return Settled(tuple(targets), dropped, forced, gain, "")
    stay = {i: "below-min-gain" for i, v in enumerate(venues) if targets[i] != v.position}
    reason = f"gain {gain} over the horizon is below {max(problem.rule.min_gain, 1)}"
    return Settled(tuple(v.position for v in venues), dropped | stay, forced, gain, reason)


def horizon_gain(problem: AllocationInput, targets: Sequence[int]) -> int:
    """What the targets earn over the horizon beyond staying put, less costs; rounded down."""
    yearly, costs = 0, 0
    for v, x in zip(problem.venues, targets, strict=True):
        yearly += income_down(v.curve, x) - income_down(v.curve, v.position)
        costs += v.enter_cost if x > v.position else v.exit_cost if x < v.position else 0
    return yearly * problem.rule.horizon_s // (YEAR_S * RAY) - costs


def _forced(
    venues: Sequence[VenueInput],
    rooms: Sequence[Room],
    optimum: Sequence[int],
    caps: Mapping[Tier, int],
    budget: int,
) -> frozenset[int]:
    """Exits that a limit demands: the venue's own, its tier's, or the liquidity buffer's."""
    short = sum(v.position for v in venues) > budget
    full = {t: sum(v.position for v in venues if v.tier is t) > cap for t, cap in caps.items()}
    return frozenset(
        i
        for i, v in enumerate(venues)
        if optimum[i] < v.position and (v.position > rooms[i].hi or full[v.tier] or short)
    )


def explain(
    problem: AllocationInput,
    rooms: Sequence[Room],
    best: Solution,
    settled: Settled,
    tiers: Sequence[Tier],
) -> tuple[Move, ...]:
    """A move or a non-move for every venue, in the order of the input."""
    found = []
    for i, v in enumerate(problem.venues):
        after = settled.targets[i]
        price = best.budget_price + best.group_prices[tiers.index(v.tier)]
        code = _code(v, after, rooms[i], best.amounts[i], settled, i)
        found.append(
            Move(
                venue=v.id,
                action=_action(v.position, after),
                amount=abs(after - v.position),
                before=v.position,
                after=after,
                rate_before_ray=rate_ray_down(v.curve, v.position),
                rate_after_ray=rate_ray_down(v.curve, after),
                code=code,
                reason=_sentence(code, v, after, price),
            )
        )
    return tuple(found)


def _action(before: int, after: int) -> Action:
    if after == before:
        return Action.HOLD
    return Action.ENTER if after > before else Action.EXIT


def _code(v: VenueInput, after: int, room: Room, optimum: int, settled: Settled, index: int) -> str:
    if after > v.position:
        return "enter:at-limit:" + room.name if after == room.hi else "enter:pays-more"
    if after < v.position:
        return "exit:over-limit" if index in settled.forced else "exit:pays-less"
    if index in settled.dropped:
        return "hold:" + settled.dropped[index]
    if v.refusal:
        return "hold:entry-refused"
    if optimum == room.lo and room.lo > 0:
        return "hold:cannot-leave"
    if optimum == room.hi and optimum > 0:
        return "hold:at-limit:" + room.name
    return "hold:optimal" if optimum > 0 else "hold:pays-less"


def _sentence(code: str, v: VenueInput, after: int, price: int) -> str:
    """One sentence with the two rates that decided: the venue's next unit, and the best other."""
    here = percent(marginal_down(v.curve, max(after, 1)))
    other = percent(price)
    if v.refusal and code == "hold:entry-refused":
        return f"no entry: {v.refusal}"
    return f"{code}: the last unit here earns {here}, the next best use {other}"


def percent(rate_ray: int) -> str:
    """An APR as text with six places, rounded towards zero: 0.05 in ray is "5.000000%"."""
    sign, millionths = ("-", -rate_ray) if rate_ray < 0 else ("", rate_ray)
    millionths = millionths * 100 * 10**6 // RAY
    return f"{sign}{millionths // 10**6}.{millionths % 10**6:06d}%"

"""From an optimum to moves worth making, each with its reason. Pure.

Forced exits (a cap was lowered, the buffer is short) go whatever they cost; all else together must
clear the minimum gain over the horizon. What is held says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from router.bounds import Bounds, Room
from router.curves import RAY, YEAR_S, income_down, marginal_down, rate_ray_down
from router.problem import AllocationInput, VenueInput
from router.solver import Solution


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
    """Final targets, what they gain over the horizon, and why nothing moves ("" if it does)."""

    targets: tuple[int, ...]
    forced: frozenset[int]
    gain: int
    held: str


def settle(problem: AllocationInput, bounds: Bounds, optimum: Sequence[int]) -> Settled:
    """The optimum, or nothing at all: unless an exit is forced, the gain has to be worth it.

    A limit that is passed by less than a ticket forces nothing: yield alone lifts a position over
    its cap by a few units every block, and chasing them would cost more than they are.
    """
    venues = problem.venues
    forced = _forced(problem, bounds, optimum)
    gain = horizon_gain(problem, optimum)
    stay = tuple(v.position for v in venues)
    if tuple(optimum) == stay:
        return Settled(stay, frozenset(), 0, "nothing to move")
    if forced or (gain >= problem.rule.min_gain and gain > 0):
        return Settled(tuple(optimum), forced, gain, "")
    reason = f"gain {gain} over the horizon is below {max(problem.rule.min_gain, 1)}"
    return Settled(stay, frozenset(), gain, reason)


def horizon_gain(problem: AllocationInput, targets: Sequence[int]) -> int:
    """What the targets earn over the horizon beyond staying put, less costs; rounded down."""
    yearly, costs = 0, 0
    for v, x in zip(problem.venues, targets, strict=True):
        yearly += income_down(v.curve, x) - income_down(v.curve, v.position)
        costs += v.enter_cost if x > v.position else v.exit_cost if x < v.position else 0
    return yearly * problem.rule.horizon_s // (YEAR_S * RAY) - costs


def _forced(problem: AllocationInput, bounds: Bounds, optimum: Sequence[int]) -> frozenset[int]:
    """Exits that a limit demands: the venue's own, or one that it shares with others."""
    held, ticket = [v.position for v in problem.venues], problem.rule.ticket
    full = {
        i
        for named in bounds.caps
        if sum(held[i] for i in named.cap.members) - named.cap.room >= ticket
        for i in named.cap.members
    }
    over = {i for i, room in enumerate(bounds.rooms) if held[i] - room.hi >= ticket}
    return frozenset(i for i in full | over if optimum[i] < held[i])


def explain(
    problem: AllocationInput, bounds: Bounds, best: Solution, settled: Settled
) -> tuple[Move, ...]:
    """A move or a non-move for every venue, in the order of the input."""
    found = []
    for i, v in enumerate(problem.venues):
        after, price = settled.targets[i], sum(best.prices[n] for n in bounds.caps_of(i))
        code = _code(problem, bounds.rooms[i], best.amounts[i], settled, i, price)
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


def _code(
    problem: AllocationInput, room: Room, optimum: int, settled: Settled, index: int, price: int
) -> str:
    v, after = problem.venues[index], settled.targets[index]
    if after > v.position:
        return "enter:at-limit:" + room.name if after == room.hi else "enter:pays-more"
    if after < v.position:
        return "exit:over-limit" if index in settled.forced else "exit:pays-less"
    if optimum != v.position:
        return "hold:below-ticket" if v.position > room.hi else "hold:below-min-gain"
    return _why_held(problem, room, v, price)


def _why_held(problem: AllocationInput, room: Room, v: VenueInput, price: int) -> str:
    """What would be moved if moving were free and any amount would do, and what speaks against."""
    held = v.position
    more = room.hi > held and marginal_down(v.curve, held + 1) > price
    if held > room.hi:
        return "hold:cannot-leave" if room.lo > room.hi else "hold:below-ticket"
    if v.exit_dear and held == room.lo and held > 0 and marginal_down(v.curve, held) < price:
        return "hold:exit-refused"
    if v.refusal or (v.enter_dear and marginal_down(v.curve, held + 1) > price):
        return "hold:entry-refused"
    if more:
        return "hold:below-ticket" if _within_ticket(problem, room, v, price) else "hold:costs-more"
    if held == room.lo and held > 0:
        return "hold:cannot-leave"
    if held == room.hi and held > 0:
        return "hold:at-limit:" + room.name
    if held == 0:
        return "hold:pays-less"
    less = marginal_down(v.curve, held) < price
    if less and _within_ticket(problem, room, v, price):
        return "hold:below-ticket"
    return "hold:optimal"


def _within_ticket(problem: AllocationInput, room: Room, v: VenueInput, price: int) -> bool:
    """Whether what it would be best to move is less than may be moved at once."""
    ticket, held = problem.rule.ticket, v.position
    if held + ticket > room.hi and marginal_down(v.curve, held + 1) > price:
        return True
    if held - ticket < room.lo and held > 0 and marginal_down(v.curve, held) < price:
        return True
    further = held + ticket if marginal_down(v.curve, held + 1) > price else held - ticket
    last = marginal_down(v.curve, further) if further > 0 else 0
    return last < price if further > held else last > price


def _sentence(code: str, v: VenueInput, after: int, price: int) -> str:
    """One sentence with the two rates that decided: the venue's next unit, and the best other."""
    here = percent(marginal_down(v.curve, max(after, 1)))
    other = percent(price)
    if code == "hold:entry-refused":
        return f"no entry: {v.refusal or v.enter_dear}"
    if code == "hold:exit-refused":
        return f"no exit: {v.exit_dear}"
    return f"{code}: the last unit here earns {here}, the next best use {other}"


def percent(rate_ray: int) -> str:
    """An APR as text with six places, rounded towards zero: 0.05 in ray is "5.000000%"."""
    sign, millionths = ("-", -rate_ray) if rate_ray < 0 else ("", rate_ray)
    millionths = millionths * 100 * 10**6 // RAY
    return f"{sign}{millionths // 10**6}.{millionths % 10**6:06d}%"

"""Which limits cannot hold now, and the smallest step that would make each hold. Pure.

Every limit is an upper bound on what some venues hold, so keeping nothing but what cannot leave is
the best that can be done for all of them at once: a limit can hold if and only if that fits. So
each limit that cannot hold needs a step of its own, and the steps do not depend on each other. The
sizes that are worth holding bind nothing here: what is stuck may be less.
"""

from dataclasses import dataclass

from router.levers import Bound, Unit, bounds, value_for, with_value
from router.limits import stuck_of, total_of
from router.problem import AllocationInput


@dataclass(frozen=True, slots=True)
class Broken:
    """`short` base units cannot leave that should; at `value` (in the limit's unit) it would hold.

    `value` is None where no value of this limit does: a share cannot pass the whole pool.
    """

    bound: Bound
    short: int
    value: int | None


@dataclass(frozen=True, slots=True)
class Feasibility:
    """`unpaid` is what is about to leave the pool beyond all that could be liquid.

    `causes` puts together what one number of the policy stands behind (all that must be home by one
    horizon), with the largest of their steps in base units.
    """

    broken: tuple[Broken, ...]
    unpaid: int
    causes: tuple[tuple[str, int], ...]

    @property
    def holds(self) -> bool:
        return not self.broken and self.unpaid == 0

    @property
    def alone(self) -> str | None:
        """The one number that has to give way, if one is enough."""
        return self.causes[0][0] if len(self.causes) == 1 and not self.unpaid else None


def feasibility(problem: AllocationInput) -> Feasibility:
    """What of the problem's limits cannot hold, whatever leaves."""
    stuck = {v.id: stuck_of(v) for v in problem.venues}
    total, found = total_of(problem), []
    for bound in bounds(problem):
        least = sum(stuck[id_] for id_ in bound.venues)
        if least > bound.amount:
            value = value_for(bound, least, total)
            found.append(Broken(bound, least - bound.amount, _reached(bound, value, least, total)))
    have = problem.idle + sum(v.position for v in problem.venues) - sum(stuck.values())
    causes: dict[str, int] = {}
    for one in found:
        name = cause(one.bound.name)
        causes[name] = max(causes.get(name, 0), one.short)
    return Feasibility(tuple(found), max(problem.reserved - have, 0), tuple(causes.items()))


def _reached(bound: Bound, value: int, least: int, total: int) -> int | None:
    """The value, unless the whole pool is less than what must be allowed."""
    return value if bound.unit is Unit.AMOUNT or least <= total else None


def cause(name: str) -> str:
    """The number behind a limit: one need stands behind a rung and all its frozen venues."""
    kind, _, rest = name.removeprefix("group:").partition(":")
    if name.startswith("group:") and kind in ("liquidity", "freeze"):
        return f"need:{rest.rsplit(':', 1)[-1]}"
    return name


def relaxed(problem: AllocationInput, found: Feasibility) -> AllocationInput:
    """The problem with each broken limit set to the value at which it holds."""
    for one in found.broken:
        if one.value is not None:
            problem = with_value(problem, one.bound, one.value)
    return problem

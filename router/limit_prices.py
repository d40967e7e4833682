"""What each limit costs: the price of its next unit, and what milder limits would earn. Pure.

The price of a unit is the solver's dual. What one more percent of the pool, or no limit at all,
would earn is found by solving again with this one limit otherwise: two limits that bind at the same
place earn nothing one by one, and the price of a unit says nothing about a step. All incomes are
those of the optimum, before tickets and the minimum gain.
"""

from dataclasses import dataclass, replace

from router.allocate import Allocation, allocate
from router.curves import BPS, RAY
from router.feasible import Feasibility, feasibility
from router.levers import Bound, Unit, bounds, value_for, with_value
from router.limits import total_of
from router.problem import AllocationInput
from router.tiers import WAD

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Costs:
    """One limit that binds. `price_ray` is a yearly rate; the two gains are base units a year, None
    where no limit of ours binds: what a venue takes, or refuses, is not for us to set.
    """

    limit: str
    price_ray: int
    percent_more: int | None
    without: int | None

    @property
    def bps(self) -> str:
        """Basis points a year with two places, to the nearest: a dual price is good to a ray."""
        hundredths = (self.price_ray * BPS * 100 + RAY // 2) // RAY
        return f"{hundredths // 100}.{hundredths % 100:02d}"


@dataclass(frozen=True, slots=True)
class Priced:
    """`income` is what the optimum earns a year; the dearest limit comes first."""

    total: int
    income: int
    limits: tuple[Costs, ...]
    feasibility: Feasibility


def priced(problem: AllocationInput) -> Priced:
    """Every limit of the problem that binds, with what it costs. Solves once, and twice a limit.

    Without the turnover, which bounds a plan and not what the pool may hold.
    """
    problem = replace(problem, rule=replace(problem.rule, turnover_max=None))
    answer, total = allocate(problem), total_of(problem)
    known = {b.name: b for b in bounds(problem)}
    found = [
        _costs(problem, answer, known.get(p.limit), p.limit, p.price_ray)
        for p in answer.prices
        if p.price_ray > 0
    ]
    found.sort(key=lambda c: (-c.price_ray, c.limit))
    return Priced(total, answer.optimum_ray // RAY, tuple(found), feasibility(problem))


def _costs(
    problem: AllocationInput, answer: Allocation, bound: Bound | None, name: str, price: int
) -> Costs:
    if bound is None:
        return Costs(name, price, None, None)
    total = total_of(problem)
    more = value_for(bound, bound.amount + total // PERCENT, total)
    if bound.unit is Unit.FLOOR:
        free = 0
    else:
        every = problem.idle + sum(v.position for v in problem.venues)
        free = WAD if bound.unit is Unit.SHARE else max(every, bound.value)

    def gain(value: int) -> int:
        again = allocate(with_value(problem, bound, value))
        return max(again.optimum_ray - answer.optimum_ray, 0) // RAY

    return Costs(name, price, gain(more), gain(free))

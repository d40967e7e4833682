"""Where the pool's money should be: a certified optimum under the policy, explained. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.bounds import Bounds, bounds_of, slowed
from router.curves import income_down, marginal_down
from router.moves import Move, explain, settle
from router.problem import AllocationInput
from router.solver import Solution, solve


@dataclass(frozen=True, slots=True)
class LimitPrice:
    """What one more unit of a limit would earn a year, in ray (0: the limit does not bind)."""

    limit: str
    price_ray: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Targets and why. Incomes are per year, in base units times RAY.

    `income_ray` is that of the targets. `optimum_ray` is the solver's, less the costs of getting
    there as if they were paid every year, and before the minimum gain; `bound_ray` what no
    allocation under these limits, tickets and costs can exceed. Under a turnover both are of the
    problem with the entries that the turnover left.
    """

    total: int
    buffer: int
    targets: Mapping[str, int]
    moves: tuple[Move, ...]
    current_ray: int
    income_ray: int
    optimum_ray: int
    bound_ray: int
    gain: int
    held: str
    prices: tuple[LimitPrice, ...]
    nodes: int

    @property
    def gap_ray(self) -> int:
        """The certified gap of the optimum."""
        return self.bound_ray - self.optimum_ray


def allocate(problem: AllocationInput) -> Allocation:
    """The best targets and the moves that lead there; the same input gives the same answer."""
    bounds = bounds_of(problem)
    venues = problem.venues
    now = [v.position for v in venues]
    best = solve(bounds.items, [c.cap for c in bounds.caps], start=now)
    if problem.rule.turnover_max is not None and _moved(problem, best) > problem.rule.turnover_max:
        bounds = slowed(problem, bounds, best.amounts)
        best = solve(bounds.items, [c.cap for c in bounds.caps], start=now)
    settled = settle(problem, bounds, best.amounts)
    return Allocation(
        total=bounds.total,
        buffer=bounds.buffer,
        targets={v.id: x for v, x in zip(venues, settled.targets, strict=True)},
        moves=explain(problem, bounds, best, settled),
        current_ray=_income(problem, now),
        income_ray=_income(problem, settled.targets),
        optimum_ray=best.value_ray,
        bound_ray=best.bound_ray,
        gain=settled.gain,
        held=settled.held,
        prices=_prices(problem, bounds, best),
        nodes=best.nodes,
    )


def _moved(problem: AllocationInput, best: Solution) -> int:
    return sum(abs(x - v.position) for v, x in zip(problem.venues, best.amounts, strict=True))


def _income(problem: AllocationInput, amounts: Sequence[int]) -> int:
    return sum(income_down(v.curve, x) for v, x in zip(problem.venues, amounts, strict=True))


def _prices(problem: AllocationInput, bounds: Bounds, best: Solution) -> tuple[LimitPrice, ...]:
    """The dual prices: of every cap, and of each venue's own upper bound."""
    found = [LimitPrice(c.name, p) for c, p in zip(bounds.caps, best.prices, strict=True)]
    for i, (venue, room, x) in enumerate(
        zip(problem.venues, bounds.rooms, best.amounts, strict=True)
    ):
        price = sum(best.prices[n] for n in bounds.caps_of(i))
        worth = marginal_down(venue.curve, x + 1) - price if x == room.hi else 0
        found.append(LimitPrice(f"venue:{venue.id}:{room.name}", max(worth, 0)))
    return tuple(found)

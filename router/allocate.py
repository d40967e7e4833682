"""Where the pool's money should be: a certified optimum under the policy, explained. Pure.

Caps bind on the way up only: what cannot leave a venue stays and widens its limits by itself, so
that the problem always has an answer and no cap ever blocks an exit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.curves import income_down
from router.moves import Move, explain, settle_moves
from router.problem import AllocationInput, Room, VenueInput
from router.solver import Item, Solution, solve
from router.tiers import Limits, Tier, share_down, share_up


@dataclass(frozen=True, slots=True)
class LimitPrice:
    """What one more unit of a limit would earn a year, in ray (0: the limit does not bind)."""

    limit: str
    price_ray: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Targets and why. Incomes are per year, in base units times RAY.

    `income_ray` is that of the targets; `optimum_ray` the solver's, before tickets and the
    minimum gain; `bound_ray` what no allocation under these limits can exceed.
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
    venues = problem.venues
    invested = sum(v.position for v in venues)
    total = max(problem.idle + invested - problem.reserved, 0)
    buffer = share_up(total, problem.limits.buffer_share_wad)
    rooms = [_room(v, problem.limits, total) for v in venues]
    tiers = tuple(problem.limits.tiers)
    stuck = sum(room.lo for room in rooms)
    budget = max(total - buffer, stuck)
    caps = {t: _tier_cap(t, venues, rooms, problem.limits, total) for t in tiers}
    items = [
        Item(v.curve, room.lo, room.hi, tiers.index(v.tier))
        for v, room in zip(venues, rooms, strict=True)
    ]
    best = solve(items, [caps[t] for t in tiers], budget)
    settled = settle_moves(problem, rooms, best.amounts, caps, budget, buffer)
    return Allocation(
        total=total,
        buffer=buffer,
        targets={v.id: x for v, x in zip(venues, settled.targets, strict=True)},
        moves=explain(problem, rooms, best, settled, tiers),
        current_ray=sum(income_down(v.curve, v.position) for v in venues),
        income_ray=sum(
            income_down(v.curve, x) for v, x in zip(venues, settled.targets, strict=True)
        ),
        optimum_ray=best.income_ray,
        bound_ray=best.bound_ray,
        gain=settled.gain,
        held=settled.held,
        prices=_prices(venues, rooms, best, tiers),
        nodes=best.nodes,
    )


def _room(venue: VenueInput, limits: Limits, total: int) -> Room:
    """The bounds of one venue's amount, and the name of what makes the upper one."""
    rule = limits.venues[venue.id]
    choices = [
        (rule.amount_max, "cap"),
        (share_down(total, rule.share_max_wad), "share_max"),
    ]
    if venue.capacity is not None:
        choices.append((venue.position + venue.capacity, "capacity"))
    if venue.refusal:
        choices.append((venue.position, "refusal"))
    hi, name = min(choices, key=lambda c: c[0])
    lo = venue.position - min(venue.withdrawable, venue.position)
    return Room(lo, max(hi, lo), name if hi >= lo else "stuck")


def _tier_cap(
    tier: Tier, venues: Sequence[VenueInput], rooms: Sequence[Room], limits: Limits, total: int
) -> int:
    stuck = sum(r.lo for v, r in zip(venues, rooms, strict=True) if v.tier is tier)
    return max(share_down(total, limits.tiers[tier]), stuck)


def _prices(
    venues: Sequence[VenueInput], rooms: Sequence[Room], best: Solution, tiers: Sequence[Tier]
) -> tuple[LimitPrice, ...]:
    """The dual prices: of the liquidity buffer, of each tier, of each venue's own upper bound."""
    found = [LimitPrice("liquidity_buffer", best.budget_price)]
    found += [
        LimitPrice(f"tier:{t.value}", p) for t, p in zip(tiers, best.group_prices, strict=True)
    ]
    for venue, room, x in zip(venues, rooms, best.amounts, strict=True):
        price = best.budget_price + best.group_prices[tiers.index(venue.tier)]
        worth = room.value_of_more(venue.curve, x) - price if x == room.hi else 0
        found.append(LimitPrice(f"venue:{venue.id}:{room.name}", max(worth, 0)))
    return tuple(found)

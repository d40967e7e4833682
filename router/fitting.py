"""Whether an entry still fits under the policy's caps, by the books of the moment it is made.

A plan holds its caps when all of its legs are made. An exit that waits, a leg that failed or a
value that changed since leaves less room for those that are left: each entry takes what there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from custody.core.db import ReadSession
from custody.ledger import chart
from router import books, legs, owed, reading
from router.books import Pool, VenueRow
from router.bounds import bounds_of
from router.legs import Leg
from router.limits import limited, total_of
from router.moves import Action
from router.objections import Code, Objection
from router.plan_json import problem_from_json
from router.policy import RiskPolicy
from router.problem import AllocationInput, Group, VenueInput
from router.stated_curves import Flat
from router.states import LegState

BY_TIME = ("liquidity:", "lockup:", "freeze:")
"""Groups that ask when money is home: only venues say that, so the plan's are taken."""
ENTERING = (LegState.EXECUTING, LegState.RELEASED)
"""An entry here is not in the venue's account yet."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The most that may enter, which limit says so, and the least that is worth entering."""

    room: int
    limit: str
    least: int

    @property
    def objection(self) -> Objection | None:
        if self.room >= self.least:
            return None
        reason = f"{self.limit} leaves room for {max(self.room, 0)} now, at least {self.least}"
        return Objection(Code.CAP, f"{reason} are worth a move")


async def fit(s: ReadSession, pool: Pool, policy: RiskPolicy, leg: Leg, at: datetime) -> Fit:
    """Requires the pool's lock, so that no other leg starts meanwhile."""
    planned = await s.scalar("SELECT input FROM plans WHERE id = :id", {"id": leg.plan_id})
    rows = await books.venues(s, pool.id)
    moving = await legs.unfinished(s, pool.id)
    held = {
        row.id: await books.posted(s, pool, books.venue_code(row)) + _entering(moving, row.id)
        for row in rows
    }
    idle = await books.available(s, pool, chart.guard(pool.id))
    now = problem_now(policy, rows, held, idle, await owed.reserved(s, pool, at))
    if planned is not None:
        now = replace(now, groups=(*now.groups, *_by_time(planned, total_of(now))))
    room, limit = room_of(now, leg.venue_id)
    entry = None if policy.terms is None else policy.terms.entry.get(leg.venue_id)
    missing = 0 if entry is None else entry.size_min - held[leg.venue_id]
    return Fit(room, limit, min(leg.amount, max(policy.rebalance.ticket, missing)))


def _entering(moving: Sequence[Leg], venue_id: str) -> int:
    return sum(
        leg.amount
        for leg in moving
        if leg.venue_id == venue_id and leg.action is Action.ENTER and leg.state in ENTERING
    )


def problem_now(
    policy: RiskPolicy, rows: Sequence[VenueRow], held: Mapping[str, int], idle: int, reserved: int
) -> AllocationInput:
    """What the books say under the policy's caps, without the groups that ask for times."""
    venues = tuple(
        VenueInput(row.id, row.tier, Flat(0), held[row.id], held[row.id]) for row in rows
    )
    limits = reading.complete(policy.limits, rows)
    found = limited(
        AllocationInput(idle, reserved, venues, limits, policy.rebalance), policy, {}, {}
    )
    kept = tuple(g for g in found.groups if not g.name.startswith(BY_TIME))
    return replace(found, venues=venues, groups=kept)


def _by_time(planned: Mapping[str, Any], total: int) -> tuple[Group, ...]:
    """The plan's, tighter by what the pool has less since: what must be home must still be."""
    then = problem_from_json(planned)
    less = max(total_of(then) - total, 0)
    return tuple(replace(g, cap=g.cap - less) for g in then.groups if g.name.startswith(BY_TIME))


def room_of(problem: AllocationInput, venue_id: str) -> tuple[int, str]:
    """The most that may still enter a venue (below zero: it is over), and the limit that says so.

    Requires that nothing counts as stuck, so that no cap is widened.
    """
    bounds, held = bounds_of(problem), [v.position for v in problem.venues]
    i = next(n for n, v in enumerate(problem.venues) if v.id == venue_id)
    found = [(bounds.rooms[i].hi - held[i], f"venue:{bounds.rooms[i].name}")]
    for named in bounds.caps:
        if i in named.cap.members:
            found.append((named.wanted - sum(held[j] for j in named.cap.members), named.name))
    return min(found)

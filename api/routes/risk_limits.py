"""How much of each limit of a pool's risk policy is used now, and which cannot hold."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routing import Routes
from router import reading
from router.feasible import feasibility
from router.levers import bounds
from router.limits import total_of
from router.reading import Reading

routes = Routes("risk-limits")


class LimitUse(Shape):
    """`value` is in `unit`: base units, or 1e-18 of the pool at most (share) or outside (floor)."""

    limit: str
    unit: str
    value: str
    amount: str = Field(description="what it comes to now, in base units")
    held: str


class CannotHold(Shape):
    limit: str
    short: str = Field(description="what would have to leave and cannot, in base units")
    value: str | None = Field(description="the strictest that would hold; null: none does")


class LimitsView(Shape):
    """`enough_to_relax` is the one number that has to give way, if one is enough."""

    pool: str
    policy_hash: str
    block_number: int
    block_hash: str
    total: str
    holds: bool
    limits: list[LimitUse]
    cannot_hold: list[CannotHold]
    unpaid: str
    enough_to_relax: str | None


def view(pool_id: str, found: Reading) -> dict[str, Any]:
    problem, said = found.problem, feasibility(found.problem)
    held = {v.id: v.position for v in problem.venues}
    return {
        "pool": pool_id,
        "policy_hash": found.snapshot.policy.hash,
        "block_number": found.block.number,
        "block_hash": found.block.hash,
        "total": str(total_of(problem)),
        "holds": said.holds,
        "limits": [
            {
                "limit": b.name,
                "unit": b.unit.value,
                "value": str(b.value),
                "amount": str(b.amount),
                "held": str(sum(held[id_] for id_ in b.venues)),
            }
            for b in bounds(problem)
        ],
        "cannot_hold": [
            {
                "limit": b.bound.name,
                "short": str(b.short),
                "value": None if b.value is None else str(b.value),
            }
            for b in said.broken
        ],
        "unpaid": str(said.unpaid),
        "enough_to_relax": said.alone,
    }


@routes.get(
    "/v1/pools/{pool_id}/limits",
    access=STAFF,
    command="risk-policies limits",
    answer=LimitsView,
)
async def show(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Each limit at the newest confirmed block: what it is, what lies under it, whether it can
    hold, and if not the smallest step with which it would."""
    found = await reading.read(deps.router, who.tenant_id, pool_id_of(pool_id))
    return answer(view(pool_id, found))

"""What an allocation is asked: venues at one block, idle money, limits and the rebalancing rule."""

from dataclasses import dataclass

from router.curves import Curve
from router.policy import RebalanceRule
from router.tiers import Limits, Tier


@dataclass(frozen=True, slots=True)
class VenueInput:
    """A venue at the plan's block.

    `withdrawable` is what can leave now; `capacity` what it still takes (None: no limit);
    `refusal` why nothing may enter now ("" if it may). Costs are base units a move. `amount_max` is
    the most that may lie there (None: no such limit), and `limit` names the rule that says so;
    `size_min` the least that is worth holding: less than that is nothing. `enter_dear` says
    that an entry costs more than the policy allows now ("" if not), `exit_dear` the same of an
    exit: then nothing leaves but what a limit demands.
    """

    id: str
    tier: Tier
    curve: Curve
    position: int
    withdrawable: int
    capacity: int | None = None
    refusal: str = ""
    enter_cost: int = 0
    exit_cost: int = 0
    amount_max: int | None = None
    limit: str = "rule"
    size_min: int = 0
    enter_dear: str = ""
    exit_dear: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What some venues may hold together, at most. Groups overlap as they like: protocol, issuer,
    what does not come home within a day, what a stress test may freeze. A cap below zero asks for
    more than there is to be elsewhere; like every cap it is widened to what cannot leave."""

    name: str
    venues: frozenset[str]
    cap: int


@dataclass(frozen=True, slots=True)
class AllocationInput:
    """`idle` lies in the guard; `reserved` of it, or of what is recalled, is about to leave."""

    idle: int
    reserved: int
    venues: tuple[VenueInput, ...]
    limits: Limits
    rule: RebalanceRule
    groups: tuple[Group, ...] = ()

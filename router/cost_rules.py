"""What a move costs beside its amount, held against the policy's ceilings. Pure.

`gas_max` and `slippage_max_bps` are for moves that somebody chose to make for yield. What holders
wait for, what a limit demands and what gets out of danger goes at any price: a ceiling that kept
money in a failing venue would cost more than any gas.
"""

from dataclasses import dataclass, replace

from custody.core.intents import IntentKind
from custody.core.prices import ReferencePrice
from router.curves import BPS
from router.objections import Code, Objection
from router.policy import RebalanceRule
from router.problem import VenueInput

FORECAST = {
    IntentKind.ALLOCATE: 500_000,
    IntentKind.DEALLOCATE: 350_000,
    IntentKind.RELEASE: 90_000,
}
"""Gas units that a plan counts on, above what was measured on the contracts of the local world
(tests/router/test_costs_on_chain.py); the live guard asks the node."""
ROUNDING_MAX = 2
"""Base units that a venue's own rounding may take: no slippage, whatever the policy says. The
guard contract allows as much."""


@dataclass(frozen=True, slots=True)
class GasPrice:
    """`wei` is what a unit of gas is forecast to cost. The prices are of one base unit each, of the
    chain's coin and of the pool's asset; None if no two sources agree. `native`: the asset is the
    coin itself, and needs none."""

    wei: int
    native: bool
    coin: ReferencePrice | None = None
    asset: ReferencePrice | None = None

    def cost_up(self, gas: int) -> int | None:
        """Base units of the pool's asset, rounded up; None: it cannot be said.

        The coin counts at the dearer of its two prices, the asset at the cheaper of its.
        """
        wei = gas * self.wei
        if self.native:
            return wei
        if self.coin is None or self.asset is None:
            return None
        if self.coin.currency != self.asset.currency:
            return None
        dear, cheap = self.coin.higher, self.asset.lower
        return int(-(-wei * dear.value * 10**cheap.scale // (cheap.value * 10**dear.scale)))


@dataclass(frozen=True, slots=True)
class Simulated:
    """The guard's money before and after a call of its own, in base units.

    `held` is the position at the venue, what waits in its queue included.
    """

    idle_before: int
    idle_after: int
    held_before: int
    held_after: int

    @property
    def lost(self) -> int:
        """What the venue and the guard together have less; below zero they have more."""
        return self.idle_before + self.held_before - self.idle_after - self.held_after


def forecast_wei(max_fee: int, tip: int) -> int:
    """Wei a gas in the next block at the most, from a quote of twice the base fee and a tip."""
    base = max(max_fee - tip, 0) // 2
    return base + -(-base // 8) + tip


def gas_objection(price: GasPrice, gas: int, rule: RebalanceRule) -> Objection | None:
    """Why so much gas is not spent now; None if it may be. Exactly the ceiling passes."""
    if rule.gas_max is None:
        return None
    cost = price.cost_up(gas)
    if cost is None:
        return Objection(Code.GAS, "what gas costs cannot be said: no agreed price")
    if cost <= rule.gas_max:
        return None
    return Objection(Code.GAS, f"gas would cost {cost}, the ceiling is {rule.gas_max}")


def slippage_objection(lost: int, amount: int, rule: RebalanceRule) -> Objection | None:
    """Why a move of `amount` that loses so much is not made; None if it may be."""
    most = rule.slippage_max_bps
    if most is None or lost <= ROUNDING_MAX or lost * BPS <= amount * most:
        return None
    return Objection(Code.SLIPPAGE, f"{lost} of {amount} would be lost, {most} bp may be")


def shares_slack_bps(rule: RebalanceRule, usual_bps: int) -> int:
    """How far an entry's shares may fall short on chain: the policy's slippage where that is
    tighter, but never under one basis point, since a block's interest comes between."""
    most = usual_bps if rule.slippage_max_bps is None else rule.slippage_max_bps
    return max(min(usual_bps, most), 1)


@dataclass(frozen=True, slots=True)
class VenueCosts:
    """What a move into a venue and out of it is forecast to cost, base units of the pool's asset,
    and what the policy has against either (None: nothing)."""

    enter: int = 0
    leave: int = 0
    no_entry: Objection | None = None
    no_exit: Objection | None = None


def costed(venue: VenueInput, costs: VenueCosts) -> VenueInput:
    """The venue with its costs. A venue that something speaks against is left at any price."""
    into, out_of = costs.no_entry, costs.no_exit
    return replace(
        venue,
        enter_cost=costs.enter,
        exit_cost=costs.leave,
        enter_dear="" if into is None else into.reason,
        exit_dear="" if out_of is None or venue.refusal else out_of.reason,
    )

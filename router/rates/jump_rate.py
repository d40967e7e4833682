"""Compound V2's shape: a market brought to its block, and its supplier's curve.

The arithmetic is that of VToken.accrueInterest and JumpRateModelV2. Interest is simple between two
accruals.
"""

from dataclasses import replace

from chains.evm.contracts.vtoken import VTokenMarket
from router.curves import RAY, YEAR_S
from router.lending_curves import Kinked
from router.tiers import WAD

SETTLE_S = 3600
"""Between a plan's block and the exit that it asks for."""


def accrued(market: VTokenMarket) -> VTokenMarket:
    """The market after interest up to the block it was read at.

    The protocol may take its reserves out of the cash meanwhile; that changes nothing for others.
    """
    slots = market.slot - market.accrued_slot
    return _after(market, slots) if slots > 0 else market


def _after(market: VTokenMarket, slots: int) -> VTokenMarket:
    interest = borrow_rate(market) * slots * market.borrows // WAD
    return replace(
        market,
        borrows=market.borrows + interest,
        reserves=market.reserves + interest * market.reserve_factor_wad // WAD,
        accrued_slot=market.accrued_slot + slots,
    )


def supply_of(market: VTokenMarket) -> int:
    """What all vTokens are worth together."""
    return market.cash + market.borrows + market.bad_debt - market.reserves


def liquidity_down(market: VTokenMarket) -> int:
    """What can still be withdrawn in an hour: reserves grow meanwhile, and their cash with them.

    An exit of all that is free at one block would revert some blocks later. Requires it accrued.
    """
    later = _after(market, market.slots_per_year * SETTLE_S // YEAR_S)
    return max(later.cash - later.reserves, 0)


def exchange_rate_down(market: VTokenMarket) -> int:
    """Underlying for a vToken, times 1e18; 0 while there is none."""
    return supply_of(market) * WAD // market.total_supply if market.total_supply else 0


def borrow_rate(market: VTokenMarket) -> int:
    """A slot, times 1e18."""
    rate, debt, size = market.rate, market.borrows + market.bad_debt, supply_of(market)
    usage = min(debt * WAD // size, WAD) if debt and size > 0 else 0
    normal = min(usage, rate.kink_wad) * rate.multiplier_wad // WAD + rate.base_wad
    return normal + max(usage - rate.kink_wad, 0) * rate.jump_multiplier_wad // WAD


def curve_of(market: VTokenMarket, own: int) -> Kinked:
    """The market without our own deposit. Requires it accrued.

    Reserve factor and bad debt, which counts as lent out and pays nothing, are taken off the rates.
    """
    debt = market.borrows + market.bad_debt
    kink_wad = min(max(market.rate.kink_wad, 1), WAD - 1)
    year = market.slots_per_year * (RAY // WAD) * (WAD - market.reserve_factor_wad)

    def yearly(numerator: int) -> int:
        """`numerator` is a rate a slot, times 1e36."""
        return numerator * year * market.borrows // (WAD * WAD * max(debt, 1))

    return Kinked(
        supply=max(supply_of(market) - own, 0),
        debt=debt,
        base_ray=yearly(market.rate.base_wad * WAD),
        slope1_ray=yearly(market.rate.multiplier_wad * kink_wad),
        slope2_ray=yearly(market.rate.jump_multiplier_wad * (WAD - kink_wad)),
        optimal_ray=kink_wad * (RAY // WAD),
        reserve_factor_bps=0,
    )

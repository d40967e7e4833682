"""Aave V3, direct supply in the guard's name."""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.aave_pool import AavePool, AaveReserve
from chains.types import BlockRef
from router.curves import RAY
from router.lending_curves import Kinked
from router.venues.port import UTILISATION_MAX_WAD, VenueState, lent_out_up


@dataclass(frozen=True, slots=True)
class AaveVenue:
    """`underlying` is the pool's asset, `token` the aToken, `holder` the guard."""

    client: EvmClient
    pool: str
    underlying: str
    token: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        market = AavePool(self.client, self.pool)
        reserve = await market.reserve(self.underlying, block.number)
        own = await market.a_token_balance(self.token, self.holder, block.number)
        return VenueState(
            curve=curve_of(reserve, own),
            position=own,
            capacity=capacity_of(reserve),
            withdrawable=0 if reserve.paused else min(own, reserve.available),
            exit_terms="instant while the reserve has liquidity",
            refusal=refusal_of(reserve, self.token),
            as_of=block,
            exit_s=0,
            liquidity=0 if reserve.paused else reserve.available,
            supply=max(reserve.available + reserve.total_debt - own, 0),
            utilisation_wad=utilisation_wad(reserve),
            facts={"rate_ray": str(reserve.liquidity_rate_ray)},
        )

    async def value(self, block: BlockRef) -> int:
        return await AavePool(self.client, self.pool).a_token_balance(
            self.token, self.holder, block.number
        )

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        """Of the scaled balance, which interest does not move."""
        index = await AavePool(self.client, self.pool).normalized_income(
            self.underlying, block.number
        )
        return amount * RAY // index


def curve_of(reserve: AaveReserve, own: int) -> Kinked:
    """The pool without us: what is there and lent out, less our own deposit. Where we are alone in
    it, roundings may make that less than nothing."""
    return Kinked(
        supply=max(reserve.available + reserve.total_debt - own, 0),
        debt=reserve.total_debt,
        base_ray=reserve.strategy.base_ray,
        slope1_ray=reserve.strategy.slope1_ray,
        slope2_ray=reserve.strategy.slope2_ray,
        optimal_ray=reserve.strategy.optimal_usage_ray,
        reserve_factor_bps=reserve.reserve_factor_bps,
    )


def capacity_of(reserve: AaveReserve) -> int | None:
    if reserve.supply_cap == 0:
        return None
    return max(reserve.supply_cap - reserve.total_supplied, 0)


def utilisation_wad(reserve: AaveReserve) -> int:
    return lent_out_up(reserve.total_debt, reserve.available + reserve.total_debt)


def refusal_of(reserve: AaveReserve, token: str) -> str:
    """Why nothing may enter, in a fixed order; "" if it may."""
    if reserve.a_token != token:
        return "the market names another aToken than the policy's"
    if not reserve.active or reserve.frozen or reserve.paused:
        return "the reserve is inactive, frozen or paused"
    if utilisation_wad(reserve) > UTILISATION_MAX_WAD:
        return "utilisation is above 97 %"
    return ""

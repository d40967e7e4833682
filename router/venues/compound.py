"""A market of Compound V2's shape, entered through our own wrapper (contracts: VTokenVault).

One share of the wrapper is one vToken; only the guard can deposit into it.
"""

from dataclasses import dataclass, replace

from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.vtoken import VToken, VTokenMarket
from chains.evm.contracts.vtoken_vault import VTokenVault
from chains.types import BlockRef
from router.rates.jump_rate import (
    accrued,
    curve_of,
    exchange_rate_down,
    liquidity_down,
    supply_of,
)
from router.tiers import WAD
from router.venues.port import UTILISATION_MAX_WAD, VenueState, lent_out_up


@dataclass(frozen=True, slots=True)
class CompoundVenue:
    """`market` is the vToken, `token` the wrapper, `holder` the guard."""

    client: EvmClient
    market: str
    underlying: str
    token: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        terms = await VTokenVault(self.client, self.token).terms(self.holder, block.number)
        market = accrued(await VToken(self.client, self.market).market(self.token, block.number))
        state = state_of(market, terms.shares * exchange_rate_down(market) // WAD, block)
        if market.underlying != self.underlying or terms.market != self.market:
            return replace(state, refusal="the wrapper is of another asset or market")
        if terms.depositor != self.holder:
            return replace(state, refusal="the wrapper is another guard's")
        return state

    async def value(self, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).value(self.holder, block.number)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).shares(amount, block.number)


def state_of(market: VTokenMarket, own: int, block: BlockRef) -> VenueState:
    """The state of a holder of `own`. Requires `market` accrued to the block."""
    liquidity = 0 if market.redeem_paused else liquidity_down(market)
    return VenueState(
        curve=curve_of(market, own),
        position=own,
        capacity=None if market.supply_cap is None else capacity_down(market),
        withdrawable=min(own, liquidity),
        exit_terms="instant while the market has cash",
        refusal=refusal_of(market),
        as_of=block,
        exit_s=0,
        liquidity=liquidity,
        supply=max(supply_of(market) - own, 0),
        utilisation_wad=usage_up(market),
    )


def usage_up(market: VTokenMarket) -> int:
    return lent_out_up(market.borrows + market.bad_debt, supply_of(market))


def capacity_down(market: VTokenMarket) -> int:
    supplied = market.total_supply * exchange_rate_down(market) // WAD
    return max((market.supply_cap or 0) - supplied, 0)


def refusal_of(market: VTokenMarket) -> str:
    """Why nothing may enter, in a fixed order; "" if it may."""
    if market.mint_paused or market.redeem_paused:
        return "supply or withdrawal is paused"
    if market.supply_cap == 0:
        return "the market takes no supply"
    if market.bad_debt > 0:
        return "the market has bad debt"
    if usage_up(market) > UTILISATION_MAX_WAD:
        return "utilisation is above 97 %"
    return ""

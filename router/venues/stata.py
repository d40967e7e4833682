"""Aave's ERC-4626 wrapper (StataTokenV2): a vault whose curve is exactly the reserve's."""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.aave_pool import AavePool
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.stata import Stata
from chains.types import BlockRef
from router.venues.aave import capacity_of, curve_of, refusal_of, utilisation_wad
from router.venues.port import VenueState


@dataclass(frozen=True, slots=True)
class StataVenue:
    """`pool` is Aave's, `token` the wrapper, `holder` the guard."""

    client: EvmClient
    pool: str
    underlying: str
    token: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        vault = await Erc4626(self.client, self.token).state(self.holder, block.number)
        wrapper = await Stata(self.client, self.token).terms(block.number)
        reserve = await AavePool(self.client, self.pool).reserve(self.underlying, block.number)
        own, shut = vault.holder_assets, wrapper.paused or reserve.paused
        refusal = refusal_of(reserve, wrapper.a_token)
        if wrapper.paused:
            refusal = "the wrapper is paused"
        if vault.asset != self.underlying or wrapper.pool != self.pool:
            refusal = "the wrapper is of another asset or market"
        room = capacity_of(reserve)
        return VenueState(
            curve=curve_of(reserve, own),
            position=own,
            capacity=None if room is None else min(room, vault.max_deposit),
            withdrawable=0 if shut else min(vault.max_withdraw, own, reserve.available),
            exit_terms="instant while the reserve has liquidity",
            refusal=refusal,
            as_of=block,
            exit_s=0,
            liquidity=0 if shut else reserve.available,
            supply=max(reserve.available + reserve.total_debt - own, 0),
            utilisation_wad=utilisation_wad(reserve),
        )

    async def value(self, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).value(self.holder, block.number)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).shares(amount, block.number)

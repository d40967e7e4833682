"""One market of Morpho Blue, direct. It can be read, not entered: Morpho's own ledger gives no
receipt that a guard could hold. Money goes there through a MetaMorpho vault."""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.morpho_blue import MorphoBlue, MorphoMarket
from chains.types import BlockRef
from router.rates.morpho_blue import accrued, assets_down, curve_of
from router.venues.port import VenueState, lent_out_up


@dataclass(frozen=True, slots=True)
class MorphoBlueVenue:
    """`blue` is the singleton, `market` the market's id in 0x hex."""

    client: EvmClient
    blue: str
    market: str
    underlying: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        market = await self._market(block)
        own = assets_down(market, market.own_shares)
        liquidity = max(market.supply_assets - market.borrow_assets, 0)
        return VenueState(
            curve=curve_of(market, own),
            position=own,
            capacity=None,
            withdrawable=min(own, liquidity),
            exit_terms="instant while the market has liquidity",
            refusal=self._refusal(market),
            as_of=block,
            exit_s=0,
            liquidity=liquidity,
            supply=max(market.supply_assets - own, 0),
            utilisation_wad=lent_out_up(market.borrow_assets, market.supply_assets),
        )

    def _refusal(self, market: MorphoMarket) -> str:
        if market.loan_token != self.underlying:
            return "the market lends another asset"
        return "markets of Morpho Blue are read, not entered: enter through a vault"

    async def value(self, block: BlockRef) -> int:
        market = await self._market(block)
        return assets_down(market, market.own_shares)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return 0

    async def _market(self, block: BlockRef) -> MorphoMarket:
        blue = MorphoBlue(self.client, self.blue)
        found = await blue.markets([self.market], self.holder, block.number)
        return accrued(found[self.market], block.timestamp)

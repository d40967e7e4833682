"""A MetaMorpho vault in the guard's name: its curve from its queues, caps, markets and fees."""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.metamorpho import MetaMorpho
from chains.evm.contracts.morpho_blue import MorphoBlue
from chains.types import BlockRef
from router.rates.vault_queue import VaultBook, book_of, curve_of, rooms
from router.venues.port import UTILISATION_MAX_WAD, VenueState, lent_out_up


@dataclass(frozen=True, slots=True)
class MetaMorphoVenue:
    """`token` is the vault, `holder` the guard."""

    client: EvmClient
    token: str
    underlying: str
    holder: str

    async def book(self, block: BlockRef) -> VaultBook:
        """Raises ChainError: also if a market has another interest rate model than ours."""
        state = await MetaMorpho(self.client, self.token).state(self.holder, block.number)
        blue = MorphoBlue(self.client, state.blue)
        markets = await blue.markets(state.withdraw_queue, self.token, block.number)
        return book_of(state, markets, block.timestamp)

    async def read(self, block: BlockRef) -> VenueState:
        book = await self.book(block)
        utilisation_wad = lent_out_up(book.lent_out_up, book.total)
        refusal = "" if book.state.asset == self.underlying else "the vault holds another asset"
        if not refusal and utilisation_wad > UTILISATION_MAX_WAD:
            refusal = "utilisation is above 97 %"
        return VenueState(
            curve=curve_of(book),
            position=book.own,
            capacity=sum(rooms(book).values()),
            withdrawable=min(book.own, book.liquidity),
            exit_terms="instant while the vault's markets have liquidity",
            refusal=refusal,
            as_of=block,
            exit_s=0,
            liquidity=book.liquidity,
            supply=book.others,
            utilisation_wad=utilisation_wad,
        )

    async def value(self, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).value(self.holder, block.number)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).shares(amount, block.number)

"""An asynchronous vault (ERC-7540): read, not entered.

Its guard's kind would need requests and claims of its own on chain. A position that came there by
other ways is valued and shown; it is left by hand.
"""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.erc7540 import AsyncVaultState, Erc7540
from chains.types import BlockRef
from router.stated_curves import Flat
from router.venues.port import VenueState

REFUSAL = "asynchronous vaults are read, not entered"


@dataclass(frozen=True, slots=True)
class AsyncVaultVenue:
    """`token` is the vault, `holder` the guard."""

    client: EvmClient
    token: str
    underlying: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        state = await Erc7540(self.client, self.token).state(self.holder, block.number)
        own = position_of(state)
        return VenueState(
            curve=Flat(0),
            position=own,
            capacity=0,
            withdrawable=0,
            exit_terms=exit_terms_of(state),
            refusal=REFUSAL if state.asset == self.underlying else "the vault holds another asset",
            as_of=block,
            exit_s=None,
            supply=max(state.total_assets - own, 0),
        )

    async def value(self, block: BlockRef) -> int:
        return position_of(await Erc7540(self.client, self.token).state(self.holder, block.number))

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return 0


def position_of(state: AsyncVaultState) -> int:
    """Shares held or asked back, and assets that wait to become shares."""
    return state.assets_of_shares + state.deposit_pending + state.deposit_claimable


def exit_terms_of(state: AsyncVaultState) -> str:
    terms = "queue" if state.redeems_later else "instant"
    if state.redeem_pending or state.redeem_claimable:
        terms += f": {state.redeem_pending} shares wait, {state.redeem_claimable} can be claimed"
    return terms

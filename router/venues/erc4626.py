"""A generic ERC-4626 vault in the guard's name.

Where the vault streams a fixed reward, its curve is that pot shared by all. A vault without a
stream shows no rate we could vouch for: it is never entered.
"""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626, RewardStream
from chains.types import BlockRef
from router.curves import RAY, YEAR_S, FixedPot
from router.venues.port import VenueState

CAPACITY_NONE = 2**255
"""maxDeposit of a vault without a limit is 2^256-1; anything near it means none."""


@dataclass(frozen=True, slots=True)
class VaultVenue:
    """`token` is the vault, `holder` the guard."""

    client: EvmClient
    token: str
    underlying: str
    holder: str

    async def read(self, block: BlockRef) -> VenueState:
        vault = Erc4626(self.client, self.token)
        state = await vault.state(self.holder, block.number)
        stream = await vault.reward_stream(block.number)
        capacity = None if state.max_deposit >= CAPACITY_NONE else state.max_deposit
        refusal = "" if state.asset == self.underlying else "the vault holds another asset"
        if not refusal and (stream is None or stream.end_s <= block.timestamp):
            refusal = "the vault shows no rate at this block"
        return VenueState(
            curve=curve_of(stream, state.total_assets - state.holder_assets, block.timestamp),
            position=state.holder_assets,
            capacity=capacity,
            withdrawable=min(state.max_withdraw, state.holder_assets),
            exit_terms="instant",
            refusal=refusal,
            as_of=block,
            exit_s=0,
            supply=max(state.total_assets - state.holder_assets, 0),
        )

    async def value(self, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).value(self.holder, block.number)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).shares(amount, block.number)


def curve_of(stream: RewardStream | None, others: int, now_s: int) -> FixedPot:
    """A year of the stream at its rate now; 0 once it has run dry."""
    live = stream is not None and stream.end_s > now_s
    per_s = stream.rate_per_s if stream is not None and live else 0
    return FixedPot(per_s * YEAR_S * RAY, max(others, 0))

"""Liquid staking with an exit queue, in the guard's name (Lido's function names)."""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.staking import Staking
from chains.evm.contracts.treasury_guard import TreasuryGuard
from chains.types import BlockRef
from router.rates.units import ray_from_bps
from router.stated_curves import Flat
from router.venues.port import VenueState


@dataclass(frozen=True, slots=True)
class StakingVenue:
    """`token` is the staking token, `queue` where exits wait, `guard_venue` its id at the guard."""

    client: EvmClient
    token: str
    queue: str
    holder: str
    guard_venue: str

    async def read(self, block: BlockRef) -> VenueState:
        staking = Staking(self.client, self.token, self.queue)
        state = await staking.state(block.number)
        staked = await staking.balance(self.holder, block.number)
        guard = TreasuryGuard(self.client, self.holder)
        waiting = (await guard.venue(self.guard_venue, block.number)).requested
        return VenueState(
            curve=Flat(ray_from_bps(state.apr_bps)),
            position=staked + waiting,
            capacity=None,
            withdrawable=staked,
            exit_terms=f"queue of {state.withdrawal_delay_s} s",
            refusal="" if state.reward_reserve > 0 else "the rewards have run dry",
            as_of=block,
            exit_s=state.withdrawal_delay_s,
            supply=max(state.total_pooled - staked, 0),
        )

    async def value(self, block: BlockRef) -> int:
        staking = Staking(self.client, self.token, self.queue)
        guard = TreasuryGuard(self.client, self.holder)
        waiting = (await guard.venue(self.guard_venue, block.number)).requested
        return await staking.balance(self.holder, block.number) + waiting

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        """The guard counts the rebasing token itself: one for each wei."""
        return amount

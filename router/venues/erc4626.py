"""A generic ERC-4626 vault in the guard's name, by the evidence that its listing names.

A vault whose evidence is missing, stale or bad is never entered. A bond is a vault with a maturity:
until then nothing is counted on to come home, after it nothing enters.
"""

from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626, RewardStream, VaultState
from chains.types import BlockRef
from router.curves import RAY, YEAR_S, Curve
from router.stated_curves import FixedPot, Flat
from router.venues.evidence import (
    FIXED_POT,
    ConstantEvidence,
    Evidence,
    SampledEvidence,
)
from router.venues.port import VenueState

CAPACITY_NONE = 2**255
"""maxDeposit of a vault without a limit is 2^256-1; anything near it means none."""


@dataclass(frozen=True, slots=True)
class VaultVenue:
    """`token` is the vault, `holder` the guard; `maturity_s` a Unix second, None for no bond."""

    client: EvmClient
    token: str
    underlying: str
    holder: str
    evidence: Evidence = FIXED_POT
    maturity_s: int | None = None

    async def read(self, block: BlockRef) -> VenueState:
        state = await Erc4626(self.client, self.token).state(self.holder, block.number)
        curve, doubt = await self._curve(state, block)
        refusal = "" if state.asset == self.underlying else "the vault holds another asset"
        ripe_s = 0 if self.maturity_s is None else max(self.maturity_s - block.timestamp, 0)
        if not refusal and self.maturity_s is not None and ripe_s == 0:
            refusal = "the bond has matured"
        return VenueState(
            curve=curve,
            position=state.holder_assets,
            capacity=capacity_of(state, self.evidence),
            withdrawable=0 if ripe_s else min(state.max_withdraw, state.holder_assets),
            exit_terms="at maturity" if ripe_s else "instant",
            refusal=refusal or doubt,
            as_of=block,
            exit_s=ripe_s,
            maturity_s=self.maturity_s,
            supply=max(state.total_assets - state.holder_assets, 0),
        )

    async def _curve(self, state: VaultState, block: BlockRef) -> tuple[Curve, str]:
        """The curve, and why it is not to be trusted ("" if it is)."""
        if isinstance(self.evidence, SampledEvidence):
            stale = block.timestamp >= self.evidence.until_s
            return self.evidence.curve, "the samples have run out" if stale else ""
        if isinstance(self.evidence, ConstantEvidence):
            return await self._observed(self.evidence.window_blocks, block)
        stream = await Erc4626(self.client, self.token).reward_stream(block.number)
        dry = stream is None or stream.end_s <= block.timestamp
        others = state.total_assets - state.holder_assets
        doubt = "the vault shows no rate at this block" if dry else ""
        return curve_of(stream, others, block.timestamp), doubt

    async def _observed(self, window_blocks: int, block: BlockRef) -> tuple[Curve, str]:
        """From two blocks' share prices. Raises ChainError where the older is not to be had."""
        vault = Erc4626(self.client, self.token)
        start = await self.client.block(max(block.number - window_blocks, 0))
        before = await vault.price(start.number)
        after = await vault.price(block.number)
        seconds = block.timestamp - start.timestamp
        if before == 0 or seconds <= 0 or after <= before:
            return Flat(0), "the share price has not grown in the window"
        return Flat((after - before) * YEAR_S * RAY // (before * seconds)), ""

    async def value(self, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).value(self.holder, block.number)

    async def shares_for(self, amount: int, block: BlockRef) -> int:
        return await Erc4626(self.client, self.token).shares(amount, block.number)


def capacity_of(state: VaultState, evidence: Evidence) -> int | None:
    """What the vault takes, and with samples no more than they reach."""
    capacity = None if state.max_deposit >= CAPACITY_NONE else state.max_deposit
    if not isinstance(evidence, SampledEvidence):
        return capacity
    known = max(evidence.curve.points[-1][0] - state.holder_assets, 0)
    return known if capacity is None else min(known, capacity)


def curve_of(stream: RewardStream | None, others: int, now_s: int) -> FixedPot:
    """A year of the stream at its rate now; 0 once it has run dry."""
    live = stream is not None and stream.end_s > now_s
    per_s = stream.rate_per_s if stream is not None and live else 0
    return FixedPot(per_s * YEAR_S * RAY, max(others, 0))

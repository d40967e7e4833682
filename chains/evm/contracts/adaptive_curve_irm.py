"""Morpho's AdaptiveCurveIrm: the rate at target that a market has learnt so far.

Source: morpho-blue-irm AdaptiveCurveIrm.sol. Rates are a second, times 1e18.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

RATE_AT_TARGET = "rateAtTarget(bytes32)"


@dataclass(frozen=True, slots=True)
class AdaptiveCurveIrm:
    """One interest rate model, which serves many markets."""

    client: EvmClient
    address: str

    async def rates_at_target(self, market_ids: Sequence[str], block: At) -> list[int]:
        """As of each market's last accrual; 0 for one without any. Raises RpcRefused or
        UndecodableAnswer for another kind of model."""
        targets = [
            (self.address, encode_call(RATE_AT_TARGET, bytes.fromhex(id_[2:])))
            for id_ in market_ids
        ]
        answers = await self.client.calls(targets, block)
        return [decode_answer(("int256",), answer)[0] for answer in answers]

"""Aave's StataTokenV2: the ERC-4626 wrapper of an aToken. What it has beyond a vault."""

from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient


@dataclass(frozen=True, slots=True)
class StataTerms:
    """`paused` is the wrapper's own switch, beside the reserve's."""

    a_token: str
    pool: str
    paused: bool


@dataclass(frozen=True, slots=True)
class Stata:
    """One wrapper."""

    client: EvmClient
    address: str

    async def terms(self, block: At) -> StataTerms:
        reads = [(self.address, encode_call(n)) for n in ("aToken()", "POOL()", "paused()")]
        a_token, pool, paused = await self.client.calls(reads, block)
        return StataTerms(
            checksum(decode_answer(("address",), a_token)[0]),
            checksum(decode_answer(("address",), pool)[0]),
            bool(decode_answer(("bool",), paused)[0]),
        )

"""VTokenVault: our ERC-4626 over one market of Compound V2's shape. A share is a vToken."""

from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient


@dataclass(frozen=True, slots=True)
class VTokenVaultTerms:
    """`depositor` is the only account that can deposit; `shares` those of the holder asked about."""

    market: str
    depositor: str
    shares: int


@dataclass(frozen=True, slots=True)
class VTokenVault:
    """One wrapper. What every ERC-4626 has is read by `Erc4626`."""

    client: EvmClient
    address: str

    async def terms(self, holder: str, block: At) -> VTokenVaultTerms:
        reads = [
            (self.address, encode_call("MARKET()")),
            (self.address, encode_call("DEPOSITOR()")),
            (self.address, encode_call("balanceOf(address)", holder)),
        ]
        market, depositor, shares = await self.client.calls(reads, block)
        return VTokenVaultTerms(
            checksum(decode_answer(("address",), market)[0]),
            checksum(decode_answer(("address",), depositor)[0]),
            decode_answer(("uint256",), shares)[0],
        )

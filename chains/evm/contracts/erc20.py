"""ERC-20 tokens. Amounts are base units of the token."""

from dataclasses import dataclass

from chains.evm.calldata import decode_answer, encode_call, topic
from chains.evm.client import At, EvmClient

TRANSFER = "transfer(address,uint256)"
APPROVE = "approve(address,uint256)"
TRANSFER_EVENT = topic("Transfer(address,address,uint256)")


def erc20_transfer(to: str, amount: int) -> bytes:
    """Calldata that moves `amount` of the sender's own tokens."""
    return encode_call(TRANSFER, to, amount)


def erc20_approve(spender: str, amount: int) -> bytes:
    """Calldata that lets `spender` take up to `amount`; it replaces what was allowed before."""
    return encode_call(APPROVE, spender, amount)


def erc20_balance_of(holder: str) -> bytes:
    return encode_call("balanceOf(address)", holder)


@dataclass(frozen=True, slots=True)
class Erc20:
    """One token contract."""

    client: EvmClient
    address: str

    async def balance_of(self, holder: str, block: At) -> int:
        return await self.client.erc20_balance(self.address, holder, block)

    async def total_supply(self, block: At) -> int:
        return await self._number(encode_call("totalSupply()"), block)

    async def decimals(self, block: At) -> int:
        return await self._number(encode_call("decimals()"), block)

    async def allowance(self, owner: str, spender: str, block: At) -> int:
        return await self._number(encode_call("allowance(address,address)", owner, spender), block)

    async def _number(self, data: bytes, block: At) -> int:
        number: int = decode_answer(
            ("uint256",), await self.client.call(self.address, data, block)
        )[0]
        return number

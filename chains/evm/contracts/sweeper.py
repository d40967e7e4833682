"""Sweeper: the code that token deposit addresses are delegated to (EIP-7702)."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call, topic, topic_address
from chains.evm.client import At, EvmClient
from chains.types import Log

SWEEP = "sweep(address)"
_SWEPT = topic("Swept(address,uint256)")
_DELEGATION_PREFIX = bytes.fromhex("ef0100")


def encode_sweep(token: str) -> bytes:
    """Calldata for the deposit address itself; anybody may send it."""
    return encode_call(SWEEP, token)


def swept(logs: Sequence[Log], wallet: str, token: str) -> int:
    """Base units that a receipt says left the wallet for the treasury; 0 if none did."""
    amount = 0
    for log in logs:
        if log.address == wallet and len(log.topics) == 2 and log.topics[0] == _SWEPT:
            if checksum(topic_address(log.topics[1])) == token:
                amount += decode_answer(("uint256",), bytes.fromhex(log.data[2:]))[0]
    return amount


def delegate_of(code: bytes) -> str | None:
    """Where an account's code points (EIP-7702); None if it is not delegated."""
    if len(code) != 23 or not code.startswith(_DELEGATION_PREFIX):
        return None
    return checksum("0x" + code[3:].hex())


@dataclass(frozen=True, slots=True)
class Sweeper:
    """The delegate contract itself."""

    client: EvmClient
    address: str

    async def treasury(self, block: At) -> str:
        """The only place it ever sends to."""
        answer = await self.client.call(self.address, encode_call("TREASURY()"), block)
        return checksum(decode_answer(("address",), answer)[0])

"""Sweeper: the code that token deposit addresses are delegated to (EIP-7702)."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import address_topic, decode_answer, encode_call, selector, topic
from chains.evm.client import At, EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import Log

SWEEP = "sweep(address)"
NOT_A_TOKEN = selector("NotAToken(address)")
TRANSFER_FAILED = selector("TransferFailed(address,uint256)")
_NATIVE_SWEPT = topic("NativeSwept(uint256)")
_DELEGATION_PREFIX = bytes.fromhex("ef0100")


def encode_sweep(token: str) -> bytes:
    """Calldata for the deposit address itself; anybody may send it."""
    return encode_call(SWEEP, token)


def swept(logs: Sequence[Log], wallet: str, token: str, treasury: str) -> int:
    """Base units that a receipt says left the wallet for the treasury; 0 if none did.

    The token's own events: what a hub swept and what was swept alone read alike."""
    path = (TRANSFER_EVENT, address_topic(wallet), address_topic(treasury))
    amount = 0
    for log in logs:
        if log.address == token and log.topics == path:
            amount += decode_answer(("uint256",), bytes.fromhex(log.data[2:]))[0]
    return amount


def native_swept(logs: Sequence[Log], wallet: str) -> int:
    """Wei that a receipt says left the wallet for the treasury; 0 if none did."""
    amount = 0
    for log in logs:
        if log.address == wallet and log.topics == (_NATIVE_SWEPT,):
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

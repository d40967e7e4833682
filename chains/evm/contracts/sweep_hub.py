"""SweepHub: many deposit wallets swept in one transaction. The money goes to the Sweeper's treasury."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from chains.evm.address import ZERO_ADDRESS, address_bytes, checksum
from chains.evm.calldata import decode_answer, encode_call, selector, topic, topic_address
from chains.evm.client import At, EvmClient
from chains.evm.contracts import sweeper
from chains.types import Log

SWEEP_TOKEN = "sweepToken(address,uint256[])"
SWEEP_NATIVE = "sweepNative(uint256[])"
AMOUNT_MAX: Final = 2**96 - 1
"""The largest hint. A wallet that holds more is swept without one."""
SKIPPED = topic("SweepSkipped(address,address,uint256,bytes4)")
_SKIPPED_DATA = ("uint256", "bytes4")


class Reason(Enum):
    """Why a wallet was skipped, by the four bytes that the hub logs."""

    NOT_DELEGATED = selector("NotDelegated()")
    """Not delegated to the hub's Sweeper; a stale authorisation ends here."""
    NOT_A_TOKEN = sweeper.NOT_A_TOKEN
    TRANSFER_FAILED = sweeper.TRANSFER_FAILED
    OUT_OF_GAS = bytes(4)
    """The token, or for the native coin the treasury, burnt the wallet's share of gas."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A wallet, and the base units that it is thought to hold; 0 lets the chain find out.

    A right number saves an eighth of the gas. If it is too high, all there is moves; if it is too
    low, the rest stays for another time. A token that takes more than half of a wallet's gas needs
    0, or the wallet is skipped."""

    wallet: str
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A wallet that was not swept. `index` counts the batch's wallets from 0."""

    index: int
    wallet: str
    reason: Reason


def encode_sweep_token(token: str, sweeps: Sequence[Sweep]) -> bytes:
    """Calldata for the operator. Raises ValueError as `pack` does."""
    return encode_call(SWEEP_TOKEN, token, pack(sweeps))


def encode_sweep_native(wallets: Sequence[str]) -> bytes:
    """Calldata for the operator: all there is of the native coin. Raises ValueError as `pack` does."""
    return encode_call(SWEEP_NATIVE, pack([Sweep(wallet) for wallet in wallets]))


def pack(sweeps: Sequence[Sweep]) -> list[int]:
    """The words. Raises ValueError if there are none, or one is out of range."""
    if not sweeps:
        raise ValueError("a batch has at least one wallet")
    return [_pack(sweep) for sweep in sweeps]


def skipped(logs: Sequence[Log], hub: str, token: str | None) -> list[Skipped]:
    """Whom a receipt says the hub did not sweep of `token`, None for the native coin.

    What did move is said by `sweeper.swept`; a wallet in neither was empty, unless the token lies."""
    wanted = token or ZERO_ADDRESS
    found: list[Skipped] = []
    for log in logs:
        if log.address != hub or log.topics[0] != SKIPPED:
            continue
        if checksum(topic_address(log.topics[1])) == wanted:
            index, reason = decode_answer(_SKIPPED_DATA, bytes.fromhex(log.data[2:]))
            found.append(Skipped(index, checksum(topic_address(log.topics[2])), Reason(reason)))
    return found


def _pack(sweep: Sweep) -> int:
    if not 0 <= sweep.amount <= AMOUNT_MAX:
        raise ValueError(f"a sweep of {sweep.amount} does not fit into a batch")
    return int.from_bytes(address_bytes(sweep.wallet)) << 96 | sweep.amount


@dataclass(frozen=True, slots=True)
class SweepHub:
    """The contract."""

    client: EvmClient
    address: str

    async def operator(self, block: At) -> str:
        """The only account that may sweep by it."""
        return await self._address("OPERATOR()", block)

    async def sweeper(self, block: At) -> str:
        """What a wallet has to be delegated to."""
        return await self._address("SWEEPER()", block)

    async def wallet_gas(self, block: At) -> int:
        """Gas that each wallet gets."""
        answer = await self.client.call(self.address, encode_call("WALLET_GAS()"), block)
        gas: int = decode_answer(("uint256",), answer)[0]
        return gas

    async def _address(self, signature: str, block: At) -> str:
        answer = await self.client.call(self.address, encode_call(signature), block)
        return checksum(decode_answer(("address",), answer)[0])

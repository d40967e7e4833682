"""Payouts: many payouts in one transaction, each batch at most once. Amounts are base units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chains.evm.address import ZERO_ADDRESS, address_bytes, checksum, keccak
from chains.evm.calldata import (
    address_topic,
    decode_answer,
    encode_call,
    topic,
    topic_address,
    word,
)
from chains.evm.client import At, EvmClient
from chains.types import Log

PAY_TOKEN = "payToken(address,uint256,uint256,uint256[])"
PAY_NATIVE = "payNative(uint256,uint256[])"
AMOUNT_MAX: Final = 2**96 - 1
"""The most that one payout of a batch can carry; a larger one is a transfer of its own."""
_BATCH_PAID = topic("BatchPaid(address,uint256,address,bytes32,uint256,uint256,uint256)")
_BATCH_PAID_DATA = ("bytes32", "uint256", "uint256", "uint256")
_SKIPPED = topic("PayoutSkipped(address,uint256,uint256,address,uint256)")
_SKIPPED_DATA = ("uint256", "address", "uint256")


@dataclass(frozen=True, slots=True)
class Payout:
    """One recipient and what it gets."""

    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A payout that failed. `index` counts the batch's payouts from 0."""

    index: int
    payout: Payout


@dataclass(frozen=True, slots=True)
class PaidBatch:
    """A batch that was paid; `token` None is the native coin. What `skipped` lacks was sent in
    full, if `digest` is that of the payouts that were meant."""

    token: str | None
    digest: bytes
    count: int
    paid: int
    skipped: tuple[Skipped, ...]


def encode_pay_token(token: str, batch_id: int, payouts: Sequence[Payout]) -> bytes:
    """Requires an allowance of the sum for the contract. Raises ValueError as `pack` does."""
    words = pack(payouts)
    return encode_call(PAY_TOKEN, token, batch_id, total(payouts), words)


def encode_pay_native(batch_id: int, payouts: Sequence[Payout]) -> bytes:
    """Calldata; the transaction carries `total(payouts)` wei. Raises ValueError as `pack` does."""
    return encode_call(PAY_NATIVE, batch_id, pack(payouts))


def pack(payouts: Sequence[Payout]) -> list[int]:
    """The words. Raises ValueError if there are none, or an amount is not in 1..AMOUNT_MAX."""
    if not payouts:
        raise ValueError("a batch has at least one payout")
    return [_pack(payout) for payout in payouts]


def total(payouts: Sequence[Payout]) -> int:
    return sum(payout.amount for payout in payouts)


def digest(payouts: Sequence[Payout]) -> bytes:
    """What `BatchPaid` must carry if these payouts, in this order, were the batch."""
    return keccak(b"".join(word(packed) for packed in pack(payouts)))


def paid_batch(
    logs: Sequence[Log], contract: str, payer: str, batch_id: int
) -> PaidBatch | None:
    """The batch that a receipt says this payer paid under this id; None if there is none.

    Raises ValueError if the events contradict each other."""
    skipped: list[Skipped] = []
    key = (address_topic(payer), "0x" + word(batch_id).hex())
    for log in logs:
        if log.address != contract or log.topics[1:3] != key:
            continue
        data = bytes.fromhex(log.data[2:])
        if log.topics[0] == _SKIPPED:
            index, recipient, amount = decode_answer(_SKIPPED_DATA, data)
            skipped.append(Skipped(index, Payout(checksum(recipient), amount)))
        elif log.topics[0] == _BATCH_PAID:
            paid_digest, count, paid, skipped_count = decode_answer(_BATCH_PAID_DATA, data)
            if skipped_count != len(skipped):
                raise ValueError(f"{skipped_count} payouts were skipped, {len(skipped)} logged")
            token = checksum(topic_address(log.topics[3]))
            return PaidBatch(
                None if token == ZERO_ADDRESS else token,
                paid_digest,
                count,
                paid,
                tuple(skipped),
            )
    return None


def _pack(payout: Payout) -> int:
    if not 0 < payout.amount <= AMOUNT_MAX:
        raise ValueError(f"a payout of {payout.amount} does not fit into a batch")
    return int.from_bytes(address_bytes(payout.recipient)) << 96 | payout.amount


@dataclass(frozen=True, slots=True)
class Payouts:
    """The contract."""

    client: EvmClient
    address: str

    async def is_used(self, payer: str, batch_id: int, block: At) -> bool:
        """Whether the payer has paid a batch under this id."""
        data = encode_call("isUsed(address,uint256)", payer, batch_id)
        answer = await self.client.call(self.address, data, block)
        return bool(decode_answer(("bool",), answer)[0])

    async def token_gas(self, block: At) -> int:
        """Gas that one token transfer gets."""
        answer = await self.client.call(self.address, encode_call("TOKEN_GAS()"), block)
        gas: int = decode_answer(("uint256",), answer)[0]
        return gas

    async def native_gas(self, block: At) -> int:
        """Gas that one native recipient gets."""
        answer = await self.client.call(self.address, encode_call("NATIVE_GAS()"), block)
        gas: int = decode_answer(("uint256",), answer)[0]
        return gas

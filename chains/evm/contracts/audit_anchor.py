"""AuditAnchor: the latest checkpoint of each audit log, on chain. Times are Unix seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from chains.evm.address import checksum, keccak
from chains.evm.calldata import decode_answer, encode_call, topic
from chains.evm.client import At, EvmClient
from chains.types import Log

ANCHOR = "anchor(bytes32,uint64,bytes32,uint64,bytes32[])"
_ANCHORED = topic("Anchored(bytes32,uint64,uint64,bytes32,uint64)")
_ANCHORED_DATA = ("uint64", "uint64", "bytes32", "uint64")
_REPORTED = topic("ForkReported(bytes32,uint64,bytes32,bytes32)")


class LogState(IntEnum):
    """What the contract says of a log; only an open one can be anchored. Forked is for ever."""

    OPEN = 0
    FROZEN = 1
    FORKED = 2


def encode_anchor(
    log_id: bytes, size: int, root: bytes, time_s: int, proof: Sequence[bytes]
) -> bytes:
    """`proof` is the RFC 9162 consistency proof from the size on chain; empty for the first anchor.

    Requires 32 bytes for the log id, the root and each hash.
    """
    for word in (log_id, root, *proof):
        _check_word(word)
    return encode_call(ANCHOR, log_id, size, root, time_s, proof)


@dataclass(frozen=True, slots=True)
class AnchoredCheckpoint:
    """A checkpoint as the contract keeps it; `seq` counts a log's checkpoints from 1, 0 is none."""

    root: bytes
    size: int
    time_s: int
    seq: int


def anchored(logs: Sequence[Log], contract: str, log_id: bytes) -> AnchoredCheckpoint | None:
    """The checkpoint that a receipt says was anchored for this log; None if there is none."""
    wanted = "0x" + log_id.hex()
    for log in logs:
        if log.address == contract and log.topics == (_ANCHORED, wanted):
            seq, size, root, time_s = decode_answer(_ANCHORED_DATA, bytes.fromhex(log.data[2:]))
            return AnchoredCheckpoint(root, size, time_s, seq)
    return None


@dataclass(frozen=True, slots=True)
class ForkReport:
    """Two roots of one size, both signed by anchorers, as somebody showed them to the contract."""

    size: int
    roots: tuple[bytes, bytes]
    tx_hash: str
    block_number: int
    block_hash: str


LOGS_SLOT = 4
"""Where the contract's mapping from log id to {root, head} lies (contracts/src/AuditAnchor.sol)."""


def slots_of(log_id: bytes) -> tuple[int, int]:
    """The storage slots of a log's root and of its head."""
    _check_word(log_id)
    first = int.from_bytes(keccak(log_id + LOGS_SLOT.to_bytes(32, "big")), "big")
    return first, (first + 1) % 2**256


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log as its two words of storage have it."""

    checkpoint: AnchoredCheckpoint
    state: LogState


def stored(root: int, head: int) -> StoredLog:
    """Both words, read. From the lowest bit: size 64, time 40, seq 40, state 8, tag 104.

    Raises ValueError for a state that there is not.
    """
    size, time_s = head & (2**64 - 1), head >> 64 & (2**40 - 1)
    seq, state = head >> 104 & (2**40 - 1), head >> 144 & 0xFF
    found = AnchoredCheckpoint(root.to_bytes(32, "big"), size, time_s, seq)
    return StoredLog(found, LogState(state))


@dataclass(frozen=True, slots=True)
class AuditAnchor:
    """The contract."""

    client: EvmClient
    address: str

    async def latest(self, log_id: bytes, block: At) -> AnchoredCheckpoint:
        """All zero if nothing is anchored."""
        _check_word(log_id)
        answer = await self.client.call(
            self.address, encode_call("latest(bytes32)", log_id), block
        )
        types = ("bytes32", "uint64", "uint64", "uint64")
        return AnchoredCheckpoint(*decode_answer(types, answer))

    async def state_of(self, log_id: bytes, block: At) -> LogState:
        _check_word(log_id)
        answer = await self.client.call(
            self.address, encode_call("stateOf(bytes32)", log_id), block
        )
        return LogState(decode_answer(("uint8",), answer)[0])

    async def fork_report(self, log_id: bytes, first: int, last: int) -> ForkReport | None:
        """The report that ended this log, between two blocks; None if there is none there."""
        _check_word(log_id)
        topics = (_REPORTED, "0x" + log_id.hex())
        for log in await self.client.logs(first, last, [self.address], topics):
            size, a, b = decode_answer(("uint64", "bytes32", "bytes32"), bytes.fromhex(log.data[2:]))
            return ForkReport(size, (a, b), log.tx_hash, log.block_number, log.block_hash)
        return None

    async def owner_of(self, log_id: bytes, block: At) -> str:
        _check_word(log_id)
        answer = await self.client.call(
            self.address, encode_call("ownerOf(bytes32)", log_id), block
        )
        return checksum(decode_answer(("address",), answer)[0])

    async def is_anchorer(self, log_id: bytes, account: str, block: At) -> bool:
        data = encode_call("isAnchorer(bytes32,address)", log_id, account)
        answer = await self.client.call(self.address, data, block)
        return bool(decode_answer(("bool",), answer)[0])


def _check_word(value: bytes) -> None:
    # The ABI encoder would pad a shorter one without a word.
    if len(value) != 32:
        raise ValueError(f"needs 32 bytes, not {len(value)}")

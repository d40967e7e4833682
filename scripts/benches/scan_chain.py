"""Blocks for the scan bench: 200 transfers each, a few of them to us, in the wire form of a node.

Everything follows from the block's number, so that the node and the bench know the same chain.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from chains.evm.address import keccak
from chains.evm.bloom import mask
from chains.evm.calldata import address_topic
from chains.evm.contracts.erc20 import TRANSFER_EVENT

CHAIN_ID = 31399
BLOCKS = 96
NATIVE = TOKENS = 100  # transfers a block
WEI = 10**15


def _addresses(seed: int, count: int) -> list[str]:
    random = Random(seed)
    return ["0x" + random.randbytes(20).hex() for _ in range(count)]


@lru_cache(maxsize=1)
def ours(count: int) -> list[str]:
    """Watched addresses; the first thousand are the same for every count."""
    return _addresses(1, count)


LISTED, UNLISTED = _addresses(2, 5), _addresses(3, 5)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transaction. `pays`: what it does for `to`: wei, units of `token`, wei by a call."""

    number: int
    index: int
    sender: str
    to: str
    amount: int
    token: str | None
    fails: bool = False
    inside: bool = False

    @property
    def hash(self) -> str:
        return "0x" + keccak(f"tx {self.number} {self.index}".encode()).hex()

    @property
    def target(self) -> str:
        """The address that the transaction itself is sent to."""
        return self.token or (ROUTER if self.inside else self.to)


ROUTER = "0x" + "c0" * 20


def block_hash(number: int) -> str:
    return "0x" + keccak(f"block {number}".encode()).hex()


def transfers(number: int) -> list[Transfer]:
    """The block's transactions, native ones first. To us: five native ones, of which one fails and
    one comes by a call, and five of tokens, of which two are listed."""
    random = Random(number * 7919)
    mine, made = ours_few(), []
    for i in range(NATIVE + TOKENS):
        sender, stranger = "0x" + random.randbytes(20).hex(), "0x" + random.randbytes(20).hex()
        to = mine[random.randrange(len(mine))] if i % NATIVE in (2, 5, 50, 77, 99) else stranger
        token = None if i < NATIVE else (LISTED + UNLISTED)[i % 10]
        made.append(Transfer(number, i, sender, to, WEI + i, token, fails=i == 50, inside=i == 77))
    return made


@lru_cache(maxsize=1)
def ours_few() -> list[str]:
    return _addresses(1, 1000)


Seen = tuple[str, int, str]
"""Transaction, log index (-1: native), path of the call."""


def expected(number: int, *, traces: bool) -> set[Seen]:
    """What a scanner must find in a block, and nothing else."""
    mine, logs, found = set(ours_few()), 0, set()
    for t in transfers(number):
        if t.token is not None:
            if t.to in mine and t.token in LISTED:
                found.add((t.hash, logs, ""))
            logs += 1
        elif t.to in mine and not t.fails and (traces or not t.inside):
            found.add((t.hash, -1, "0" if t.inside else ""))
    return found


def block(number: int) -> dict[str, Any]:
    bits = mask(TRANSFER_EVENT)
    for t in transfers(number):
        if t.token is not None:
            bits |= mask(t.token) | mask(address_topic(t.sender)) | mask(address_topic(t.to))
    return {
        **dict.fromkeys(("sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot"), WORD),
        **dict.fromkeys(("mixHash", "withdrawalsRoot", "parentBeaconBlockRoot"), WORD),
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1),
        "timestamp": hex(1_700_000_000 + 12 * number),
        "baseFeePerGas": "0x3b9aca00",
        "difficulty": "0x0",
        "extraData": "0x",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x9a3c20",
        "logsBloom": "0x" + bits.to_bytes(256, "big").hex(),
        "miner": ROUTER,
        "nonce": "0x0000000000000000",
        "size": "0x1f400",
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "uncles": [],
        "withdrawals": [],
        "transactions": [_transaction(t) for t in transfers(number)],
    }


WORD = "0x" + "5d" * 32


def _transaction(t: Transfer) -> dict[str, Any]:
    value = 0 if t.token is not None else t.amount
    data = "0x" if t.token is None else "0xa9059cbb" + address_topic(t.to)[2:] + _word(t)[2:]
    return {
        **_place(t),
        "hash": t.hash,
        "from": t.sender,
        "to": t.target,
        "value": hex(value),
        "input": data,
        "type": "0x2",
        "chainId": hex(CHAIN_ID),
        "nonce": hex(t.index),
        "gas": "0x186a0",
        "gasPrice": "0x3b9aca01",
        "maxFeePerGas": "0x77359400",
        "maxPriorityFeePerGas": "0x1",
        "accessList": [],
        "r": WORD,
        "s": WORD,
        "v": "0x1",
        "yParity": "0x1",
    }


def _word(t: Transfer) -> str:
    return f"0x{t.amount:064x}"


def _place(t: Transfer) -> dict[str, Any]:
    return {
        "blockHash": block_hash(t.number),
        "blockNumber": hex(t.number),
        "transactionIndex": hex(t.index),
    }


def log(t: Transfer, token: str) -> dict[str, Any]:
    return {
        **_place(t),
        "address": token,
        "topics": [TRANSFER_EVENT, address_topic(t.sender), address_topic(t.to)],
        "data": _word(t),
        "logIndex": hex(t.index - NATIVE),
        "transactionHash": t.hash,
        "removed": False,
    }


def receipt(t: Transfer) -> dict[str, Any]:
    logs = [] if t.token is None else [log(t, t.token)]
    bits = 0 if t.token is None else mask(t.token) | mask(TRANSFER_EVENT)
    return {
        **_place(t),
        "transactionHash": t.hash,
        "status": "0x0" if t.fails else "0x1",
        "from": t.sender,
        "to": t.target,
        "gasUsed": "0x5208",
        "cumulativeGasUsed": hex(21_000 * (t.index + 1)),
        "effectiveGasPrice": "0x3b9aca01",
        "contractAddress": None,
        "logs": logs,
        "logsBloom": "0x" + bits.to_bytes(256, "big").hex(),
        "type": "0x2",
    }


def traces(t: Transfer) -> list[dict[str, Any]]:
    """The transaction's own call; below it what a token's proxy or a router calls."""
    value = 0 if t.token is not None else t.amount
    top = _call(t, [], "call", t.sender, t.target, value)
    if t.fails:
        return [{**top, "error": "Reverted", "result": None}]
    if t.token is not None:
        return [top, _call(t, [0], "delegatecall", t.token, ROUTER, 0)]
    return [top, _call(t, [0], "call", ROUTER, t.to, t.amount)] if t.inside else [top]


def _call(
    t: Transfer, path: list[int], kind: str, sender: str, to: str, value: int
) -> dict[str, Any]:
    return {
        "type": "call",
        "action": {
            **{"callType": kind, "from": sender, "to": to, "value": hex(value)},
            **{"gas": "0x186a0", "input": "0x"},
        },
        "result": {"gasUsed": "0x5208", "output": "0x"},
        "subtraces": 0 if path else 1,
        "traceAddress": path,
        "blockHash": block_hash(t.number),
        "blockNumber": t.number,
        "transactionHash": t.hash,
        "transactionPosition": t.index,
    }

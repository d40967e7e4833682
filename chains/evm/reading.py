"""Raw answers about blocks -> what concerns us. The scanner's hot path: no request is made here.

Sets of addresses are lower case here, as nodes write them, so that the thousands of strangers in a
block cost one look-up each; the EIP-55 form, which is a hash, is made for hits only.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from chains.evm import parse
from chains.evm.address import checksum, hash_hex
from chains.evm.bloom import bloom
from chains.evm.calldata import topic_address
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import NATIVE_LOG_INDEX, BlockRef, Header, Log, TransferSeen


@dataclass(frozen=True, slots=True)
class BlockRead:
    """One full block: `candidates` carry value to us, if they succeeded."""

    header: Header
    candidates: tuple[TransferSeen, ...]
    tx_hashes: tuple[str, ...]
    bloom: int = field(compare=False)

    @property
    def block(self) -> BlockRef:
        return self.header.block


@dataclass(frozen=True, slots=True)
class LogsRead:
    """Token transfers to us, and which tokens had any event: pairs of block hash and token."""

    transfers: tuple[TransferSeen, ...]
    heard: frozenset[tuple[str, str]]


def block(raw: Any, number: int, chain_id: int, watched: AbstractSet[str]) -> BlockRead:
    """The answer for a full block. Raises ValueError: also where there is no such block yet."""
    if raw is None:
        raise ValueError(f"no block {number}")
    header = parse.header(raw)
    transactions = raw.get("transactions")
    if not isinstance(transactions, list):
        raise ValueError("block without its transactions")
    hashes: list[str] = []
    candidates: list[TransferSeen] = []
    for body in transactions:
        if not isinstance(body, dict):
            raise ValueError("transaction: not an object")
        hashes.append(hash_hex(body.get("hash")))
        to = body.get("to")
        if to is None:  # creates a contract
            continue
        if not isinstance(to, str) or len(to) != 42:
            raise ValueError(f"transaction to no address: {to!r}")
        if to.lower() in watched:
            candidates += _native_transfer(body, chain_id, header.block)
    return BlockRead(header, tuple(candidates), tuple(hashes), bloom(raw))


def _native_transfer(
    body: Mapping[str, Any], chain_id: int, block_: BlockRef
) -> list[TransferSeen]:
    amount = parse.quantity(body.get("value"), "value")
    if amount == 0:
        return []
    if hash_hex(body.get("blockHash")) != block_.hash:
        raise ValueError("transaction of another block")
    return [
        TransferSeen(
            chain_id=chain_id,
            block=block_,
            tx_hash=hash_hex(body.get("hash")),
            log_index=NATIVE_LOG_INDEX,
            token=None,
            sender=checksum(str(body.get("from"))),
            recipient=checksum(str(body.get("to"))),
            amount=amount,
        )
    ]


def token_logs(
    raw: Any,
    chain_id: int,
    blocks: Iterable[BlockRef],
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
    *,
    by_hash: bool,
) -> LogsRead:
    """An answer of eth_getLogs. The node's filter is not trusted: everything is checked again.

    A log of a block that is not among `blocks` is a ValueError, unless the question was `by_hash`:
    then it is ignored.
    """
    if not isinstance(raw, list):
        raise ValueError("logs: not a list")
    known = {b.hash: b for b in blocks}
    found: list[TransferSeen] = []
    heard: set[tuple[str, str]] = set()
    for body in raw:
        if not isinstance(body, dict):
            raise ValueError("log: not an object")
        if body.get("removed"):
            raise ValueError("log: removed by a reorg")
        block_hash, token = str(body.get("blockHash")).lower(), str(body.get("address")).lower()
        block_ = known.get(block_hash)
        if block_ is None:
            if not by_hash or hash_hex(block_hash) in known:
                raise ValueError("log of another block")
            continue
        if token not in tokens:
            continue
        heard.add((block_hash, token))
        if _recipient(body.get("topics")) in watched:
            found += _token_transfer(parse.log(body), chain_id, block_)
    return LogsRead(tuple(found), frozenset(heard))


def _recipient(topics: Any) -> str:
    """Lower case; empty for what is no transfer of a fungible token."""
    if not isinstance(topics, list):
        raise ValueError("log: bad topics")
    # An ERC-721 Transfer has the same first topic, but four topics and no data.
    if len(topics) != 3:
        return ""
    return "0x" + str(topics[2])[26:].lower()


def _token_transfer(log: Log, chain_id: int, block_: BlockRef) -> list[TransferSeen]:
    """Requires three topics."""
    if log.topics[0] != TRANSFER_EVENT or len(log.data) != 66:
        return []
    try:
        sender, recipient = (checksum(topic_address(t)) for t in log.topics[1:])
    except ValueError:
        return []
    amount = int(log.data, 16)
    if amount == 0:
        return []
    return [
        TransferSeen(
            chain_id, block_, log.tx_hash, log.log_index, log.address, sender, recipient, amount
        )
    ]

"""One block -> what arrived at our addresses. It sees; it credits nothing.

Native value counts only from a transaction of status 1: what it carries itself, and with `traces`
what contracts send inside it. Token value counts only by a well-formed Transfer event of a listed
token. All reads are of one block, named by its hash.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from chains.errors import RpcDisagreement, RpcUnavailable
from chains.evm import parse
from chains.evm.address import checksum, hash_hex
from chains.evm.calldata import topic_address
from chains.evm.client import EvmClient, full_block_calls
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.traces import internal_moves
from chains.types import (
    NATIVE_LOG_INDEX,
    BlockRef,
    BlockScan,
    Header,
    Log,
    TransferSeen,
)


async def transfers_in(
    client: EvmClient, block_number: int, watched: AbstractSet[str], tokens: AbstractSet[str]
) -> list[TransferSeen]:
    """Arrivals in one block; see `scan_block`."""
    return list((await scan_block(client, block_number, watched, tokens)).transfers)


async def scan_block(
    client: EvmClient,
    block_number: int,
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
    *,
    traces: bool = False,
) -> BlockScan:
    """Arrivals of one block and its header. `watched` and `tokens` are EIP-55 addresses.

    `traces` requires endpoints that have `trace_block`: one that has not is one that is silent.

    Raises RpcUnavailable if the block is not there (yet), RpcDisagreement if a reorg moves it
    while it is read: the caller reads it again later.
    """
    found = await client.agreed(
        full_block_calls(block_number), lambda r: _read_block(r[0], client.chain_id, watched)
    )
    if found is None:
        raise RpcUnavailable(f"no block {block_number}", chain_id=client.chain_id)
    header, candidates, tx_hashes = found
    if header.block.number != block_number:
        raise RpcDisagreement("endpoint answered with another block", asked=block_number)
    native = await _successful(client, header.block, candidates)
    erc20 = await _token_transfers(client, header.block, watched, tokens)
    inside = await _internal(client, header.block, tx_hashes, watched) if traces else []
    return BlockScan(header, tuple(native + inside + erc20))


async def _internal(
    client: EvmClient, block: BlockRef, tx_hashes: frozenset[str], watched: AbstractSet[str]
) -> list[TransferSeen]:
    if not tx_hashes or not watched:
        return []
    moves = await client.agreed(
        [("trace_block", [hex(block.number)])],
        lambda r: internal_moves(r[0], block.hash, tx_hashes),
    )
    return [
        TransferSeen(
            client.chain_id, block, m.tx_hash, NATIVE_LOG_INDEX, None, m.sender, m.recipient,
            m.amount, ".".join(str(n) for n in m.path),
        )
        for m in moves
        if m.recipient in watched
    ]  # fmt: skip


async def _successful(
    client: EvmClient, block: BlockRef, candidates: tuple[TransferSeen, ...]
) -> list[TransferSeen]:
    receipts = await client.receipts([c.tx_hash for c in candidates], block)
    if any(r is None for r in receipts):
        raise RpcDisagreement("a receipt is missing from its block", block=block.hash)
    return [c for c, r in zip(candidates, receipts, strict=True) if r is not None and r.status == 1]


async def _token_transfers(
    client: EvmClient, block: BlockRef, watched: AbstractSet[str], tokens: AbstractSet[str]
) -> list[TransferSeen]:
    if not tokens or not watched:
        return []
    query = {"blockHash": block.hash, "address": sorted(tokens), "topics": [TRANSFER_EVENT]}
    logs = await client.agreed([("eth_getLogs", [query])], lambda r: parse.logs(r[0]))
    seen = (_token_transfer(client.chain_id, block, log, watched, tokens) for log in logs)
    return [s for s in seen if s is not None]


def _token_transfer(
    chain_id: int,
    block: BlockRef,
    log: Log,
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
) -> TransferSeen | None:
    """The node's filter is not trusted: everything is checked again here."""
    if log.block_hash != block.hash or log.address not in tokens:
        return None
    # An ERC-721 Transfer has the same first topic, but four topics and no data.
    if len(log.topics) != 3 or log.topics[0] != TRANSFER_EVENT or len(log.data) != 66:
        return None
    try:
        sender, recipient = (checksum(topic_address(t)) for t in log.topics[1:])
    except ValueError:
        return None
    amount = int(log.data, 16)
    if recipient not in watched or amount == 0:
        return None
    return TransferSeen(
        chain_id, block, log.tx_hash, log.log_index, log.address, sender, recipient, amount
    )


def _read_block(
    raw: Any, chain_id: int, watched: AbstractSet[str]
) -> tuple[Header, tuple[TransferSeen, ...], frozenset[str]] | None:
    """Header, native transfers to us, whether they succeeded or not, and the hashes of all
    transactions. None: no such block."""
    if raw is None:
        return None
    header = parse.header(raw)
    transactions = raw.get("transactions")
    if not isinstance(transactions, list):
        raise ValueError("block without its transactions")
    bodies = [parse.mapping(t, "transaction") for t in transactions]
    seen = (_native_transfer(body, chain_id, header.block, watched) for body in bodies)
    hashes = frozenset(hash_hex(body.get("hash")) for body in bodies)
    return header, tuple(s for s in seen if s is not None), hashes


def _native_transfer(
    body: Mapping[str, Any], chain_id: int, block: BlockRef, watched: AbstractSet[str]
) -> TransferSeen | None:
    to = body.get("to")
    if to is None:  # creates a contract
        return None
    recipient = checksum(str(to))
    if recipient not in watched:
        return None
    amount = parse.quantity(body.get("value"), "value")
    if amount == 0:
        return None
    if hash_hex(body.get("blockHash")) != block.hash:
        raise ValueError("transaction of another block")
    return TransferSeen(
        chain_id=chain_id,
        block=block,
        tx_hash=hash_hex(body.get("hash")),
        log_index=NATIVE_LOG_INDEX,
        token=None,
        sender=checksum(str(body.get("from"))),
        recipient=recipient,
        amount=amount,
    )

"""Blocks -> what arrived at our addresses. It sees; it credits nothing.

Native value counts only from a transaction of status 1: what it carries itself, and with `traces`
what contracts send inside it. Token value counts only by a well-formed Transfer event of a listed
token. All that is said about a block is of one block, named by its hash.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from chains.errors import RpcDisagreement, RpcRefused, RpcUnavailable
from chains.evm import parse, reading
from chains.evm.bloom import shown
from chains.evm.client import EvmClient, full_block_calls
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.evm.reading import BlockRead, LogsRead
from chains.evm.rpc import Params
from chains.evm.traces import internal_moves
from chains.types import NATIVE_LOG_INDEX, BlockRef, BlockScan, TransferSeen


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
    """Arrivals of one block and its header. Addresses may be spelled as one likes.

    Raises as `scan_range`.
    """
    ours, listed = {a.lower() for a in watched}, {t.lower() for t in tokens}
    found = await scan_range(client, block_number, block_number, ours, listed, traces=traces)
    return found[0]


async def scan_range(
    client: EvmClient,
    first: int,
    last: int,
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
    *,
    traces: bool = False,
) -> list[BlockScan]:
    """Arrivals and headers of the blocks `first` to `last`, both included, which link by hash.

    `watched` and `tokens` hold lower-case addresses. `traces` requires endpoints that have
    `trace_block`: one that has not is one that is silent.

    Raises RpcUnavailable or RpcRefused if not all of it is to be had (yet), RpcDisagreement if a
    reorg moves the blocks while they are read: the caller reads the range again later, or less.
    """
    numbers = range(first, last + 1)
    blocks = await client.agreed(
        [call for n in numbers for call in full_block_calls(n)],
        lambda r: [
            reading.block(raw, n, client.chain_id, watched)
            for raw, n in zip(r, numbers, strict=True)
        ],
    )
    _check_chain(blocks, first)
    arrived = [
        *await _successful(client, blocks),
        *(await _internal(client, blocks, watched) if traces else ()),
        *await _token_transfers(client, blocks, watched, tokens),
    ]
    by_block: dict[str, list[TransferSeen]] = {b.block.hash: [] for b in blocks}
    for seen in arrived:
        by_block[seen.block.hash].append(seen)
    return [BlockScan(b.header, tuple(by_block[b.block.hash])) for b in blocks]


def _check_chain(blocks: Sequence[BlockRead], first: int) -> None:
    for i, read in enumerate(blocks):
        if read.block.number != first + i:
            raise RpcDisagreement("endpoint answered with another block", asked=first + i)
        if i and read.header.parent_hash != blocks[i - 1].block.hash:
            raise RpcDisagreement("blocks do not link: a reorg is under way", block=first + i)


async def _successful(client: EvmClient, blocks: Sequence[BlockRead]) -> list[TransferSeen]:
    candidates = [c for b in blocks for c in b.candidates]
    receipts = await client.receipts_in([(c.tx_hash, c.block) for c in candidates])
    if any(r is None for r in receipts):
        raise RpcDisagreement("a receipt is missing from its block", first=blocks[0].block.number)
    return [c for c, r in zip(candidates, receipts, strict=True) if r is not None and r.status == 1]


async def _internal(
    client: EvmClient, blocks: Sequence[BlockRead], watched: AbstractSet[str]
) -> list[TransferSeen]:
    busy = [b for b in blocks if b.tx_hashes]
    if not busy or not watched:
        return []
    calls: list[tuple[str, Params]] = [("trace_block", [hex(b.block.number)]) for b in busy]
    found = await client.agreed(
        calls,
        lambda r: [
            internal_moves(raw, b.block.hash, frozenset(b.tx_hashes), watched)
            for raw, b in zip(r, busy, strict=True)
        ],
    )
    return [
        TransferSeen(
            client.chain_id, b.block, m.tx_hash, NATIVE_LOG_INDEX, None, m.sender, m.recipient,
            m.amount, ".".join(str(n) for n in m.path),
        )
        for b, moves in zip(busy, found, strict=True)
        for m in moves
    ]  # fmt: skip


async def _token_transfers(
    client: EvmClient,
    blocks: Sequence[BlockRead],
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
) -> list[TransferSeen]:
    if not tokens or not watched:
        return []
    refs = [b.block for b in blocks]
    if len(refs) == 1:
        return list((await _logs_by_hash(client, refs, watched, tokens)).transfers)
    read = await _logs_by_number(client, refs, watched, tokens)
    # Numbers do not say which blocks were searched: only the newest's hash, read afterwards, does.
    newest = [("eth_getBlockByNumber", [hex(refs[-1].number), False])]
    if await client.agreed(newest, lambda r: parse.header(r[0]).block) != refs[-1]:
        raise RpcDisagreement("a reorg moved the blocks while they were read", last=refs[-1].hash)
    quiet = [b.block for b in blocks if _is_too_quiet(b, read, tokens)]
    if not quiet:
        return list(read.transfers)
    again = {b.hash for b in quiet}
    kept = [t for t in read.transfers if t.block.hash not in again]
    return kept + list((await _logs_by_hash(client, quiet, watched, tokens)).transfers)


def _is_too_quiet(block: BlockRead, read: LogsRead, tokens: AbstractSet[str]) -> bool:
    """Whether a token that the bloom shows was not heard of: by chance, or logs were left out."""
    may_be = shown(block.bloom, tokens, TRANSFER_EVENT)
    return any((block.block.hash, token) not in read.heard for token in may_be)


async def _logs_by_number(
    client: EvmClient, refs: list[BlockRef], watched: AbstractSet[str], tokens: AbstractSet[str]
) -> LogsRead:
    """One query for the range; in halves where an endpoint finds it too much."""
    if len(refs) == 1:
        return await _logs_by_hash(client, refs, watched, tokens)
    span = {"fromBlock": hex(refs[0].number), "toBlock": hex(refs[-1].number)}
    try:
        return await client.agreed(
            [_logs_call(span, tokens)],
            lambda r: reading.token_logs(
                r[0], client.chain_id, refs, watched, tokens, by_hash=False
            ),
        )
    except (RpcRefused, RpcUnavailable):
        half = len(refs) // 2
        left = await _logs_by_number(client, refs[:half], watched, tokens)
        right = await _logs_by_number(client, refs[half:], watched, tokens)
        return LogsRead(left.transfers + right.transfers, left.heard | right.heard)


async def _logs_by_hash(
    client: EvmClient, refs: list[BlockRef], watched: AbstractSet[str], tokens: AbstractSet[str]
) -> LogsRead:
    """A query a block, in one batch. A reorg cannot mislead it."""
    found = await client.agreed(
        [_logs_call({"blockHash": b.hash}, tokens) for b in refs],
        lambda r: [
            reading.token_logs(raw, client.chain_id, [b], watched, tokens, by_hash=True)
            for raw, b in zip(r, refs, strict=True)
        ],
    )
    transfers = tuple(t for read in found for t in read.transfers)
    return LogsRead(transfers, frozenset().union(*(read.heard for read in found)))


def _logs_call(where: dict[str, str], tokens: AbstractSet[str]) -> tuple[str, Params]:
    return ("eth_getLogs", [{**where, "address": sorted(tokens), "topics": [TRANSFER_EVENT]}])

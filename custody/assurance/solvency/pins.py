"""Which block of each chain an epoch is about, and the headers that prove it.

On the challenge's chain the challenge says which; on every other chain it is the last block that is
not younger, so that money which moves between chains is on one of them at the moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chains.evm import headers, parse
from chains.evm.client import EvmClient
from chains.types import BlockRef
from custody.assurance import reconcile
from custody.assurance.reconcile import ReconcileDeps

CLOCKS_APART_S = 3_600
"""A chain whose clock is off by more (a devnet whose time was moved) is pinned where it is
complete; the report's headers show it, and a verifier must be told to accept it."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A chain's block, complete in the ledger, with the RLP of its header and of the next one's."""

    chain_id: int
    block: BlockRef
    header: bytes
    child: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "chain_id": str(self.chain_id),
            "block": {
                "number": str(self.block.number),
                "hash": self.block.hash,
                "time": str(self.block.timestamp),
                "header": "0x" + self.header.hex(),
            },
            "child": "0x" + self.child.hex(),
        }


async def pins(
    deps: ReconcileDeps, chain_id: int, number: int, floors: Mapping[int, int]
) -> dict[int, Pin] | None:
    """A pin for each chain of `floors`; None while a block is not complete. Raises ChainError."""
    clients = deps.clients
    first = await _pin_if_complete(deps, chain_id, number)
    if first is None:
        return None
    found = {chain_id: first}
    for other in sorted(set(floors) - {chain_id}):
        at = await _at_moment(deps, other, first.block.timestamp, floors[other])
        made = None if at is None else await _pin(clients[other], other, at)
        if made is None:
            return None
        found[other] = made
    return found


async def _pin_if_complete(deps: ReconcileDeps, chain_id: int, number: int) -> Pin | None:
    client = deps.clients[chain_id]
    complete = await reconcile.complete_block(deps, client, chain_id)
    if complete is None or complete < number:
        return None
    return await _pin(client, chain_id, number)


async def _at_moment(deps: ReconcileDeps, chain_id: int, moment_s: int, floor: int) -> int | None:
    """The last complete block that is not younger than the moment; None while that may change."""
    client = deps.clients[chain_id]
    complete = await reconcile.complete_block(deps, client, chain_id)
    if complete is None or complete <= floor:
        return None
    newest = (await client.block(complete)).timestamp
    if abs(newest - moment_s) > CLOCKS_APART_S:
        return complete
    if newest <= moment_s:
        after = (await client.headers([complete + 1]))[0]
        return complete if after is not None and after.block.timestamp > moment_s else None
    return await _last_not_after(client, moment_s, floor, complete)


async def _last_not_after(client: EvmClient, moment_s: int, floor: int, complete: int) -> int:
    """By bisection; the block after `floor` where all are younger."""
    low, high = floor + 1, complete
    while low < high:
        middle = (low + high + 1) // 2
        if (await client.block(middle)).timestamp <= moment_s:
            low = middle
        else:
            high = middle - 1
    return low


async def _pin(client: EvmClient, chain_id: int, number: int) -> Pin | None:
    """None where the block has no successor yet."""
    block, after = await client.block(number), (await client.headers([number + 1]))[0]
    if after is None:
        return None
    header = await _header(client, block.hash)
    child = await _header(client, after.block.hash)
    return Pin(chain_id, block, header, child)


async def headers_to(client: EvmClient, first: int, pinned: Mapping[int, Pin]) -> list[bytes]:
    """RLP of all headers from block `first` to the pinned one of this chain, which proves them.

    Raises ChainError.
    """
    last = pinned[client.chain_id]

    def read(results: list[Any]) -> list[bytes]:
        found, below = [], last.block.hash
        for result in reversed(results):
            raw = parse.mapping(result, "block")
            header = parse.header(raw)
            if header.block.hash != below:
                raise ValueError(f"block {header.block.number} is not of the pinned chain")
            found.append(headers.encoded(raw))
            below = header.parent_hash
        return found[::-1]

    numbers = range(first, last.block.number + 1)
    return await client.verified([("eth_getBlockByNumber", [hex(n), False]) for n in numbers], read)


async def final_number(client: EvmClient, confirmations: int) -> int:
    """The newest final block: by the chain's own tag; confirmations where it has none."""
    tagged = await client.tagged("finalized")
    return await client.height() - confirmations + 1 if tagged is None else tagged.number


async def _header(client: EvmClient, block_hash: str) -> bytes:
    """RLP that hashes to the hash, which a quorum has given. Raises ChainError."""

    def read(results: list[Any]) -> bytes:
        raw = parse.mapping(results[0], "block")
        if parse.header(raw).block.hash != block_hash:
            raise ValueError("another block than was asked for")
        return headers.encoded(raw)

    return await client.verified([("eth_getBlockByHash", [block_hash, False])], read)

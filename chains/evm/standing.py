"""What plain accounts hold and have sent, many at once, and what one block changed of it.

Ether that a contract sent shows in the balance, whatever the node tells about transactions. The
number of transactions sent tells whether all that left is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chains.errors import RpcDisagreement
from chains.evm import parse
from chains.evm.client import At, EvmClient, block_param
from chains.evm.rpc import Params
from chains.types import BlockRef

ACCOUNTS_PER_BATCH = 100
"""Two calls each."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One account after a block: wei that it holds, transactions that it has sent."""

    balance: int
    sent: int


async def standing(client: EvmClient, places: Sequence[tuple[str, At]]) -> list[Standing]:
    """How each address stands after a block of its own. Raises ChainError for all if for one."""
    found: list[Standing] = []
    for first in range(0, len(places), ACCOUNTS_PER_BATCH):
        calls: list[tuple[str, Params]] = [
            (method, [address, block_param(at)])
            for address, at in places[first : first + ACCOUNTS_PER_BATCH]
            for method in ("eth_getBalance", "eth_getTransactionCount")
        ]
        found += await client.agreed(calls, _pairs)
    return found


async def around(client: EvmClient, holder: str, block: BlockRef) -> tuple[Standing, Standing]:
    """How an account stood before and after one block. Raises RpcDisagreement if it has gone."""
    header = await client.header(block.number)
    if header.block.hash != block.hash:
        raise RpcDisagreement("a reorg took the block", block=block.hash)
    parent = BlockRef(block.number - 1, header.parent_hash, 0)
    before, after = await standing(client, [(holder, parent), (holder, block)])
    return before, after


def _pairs(results: list[Any]) -> list[Standing]:
    numbers = [parse.quantity(r) for r in results]
    return [Standing(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]

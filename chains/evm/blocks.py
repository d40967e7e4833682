"""Finality and reorganisations: which blocks count, and where our memory still holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.errors import RpcDisagreement
from chains.evm import parse
from chains.evm.client import EvmClient

_BATCH = 32


@dataclass(frozen=True, slots=True)
class SeenBlock:
    """A block as we stored it."""

    number: int
    hash: str


def confirmations(number: int, head: int) -> int:
    """How many blocks stand for one, itself included; 0 if the chain is shorter."""
    return max(0, head - number + 1)


def is_final(number: int, head: int, required: int) -> bool:
    """Requires required >= 1. One confirmation is: mined."""
    return confirmations(number, head) >= required


def last_final(head: int, required: int) -> int:
    """The highest block that is final at this head; -1 if none is."""
    return max(-1, head - required + 1)


async def final_number(client: EvmClient, required: int) -> int:
    """The highest block that is final by the number of confirmations. One read."""
    return last_final((await client.block("latest")).number, required)


async def common_ancestor(client: EvmClient, stored: Sequence[SeenBlock]) -> int | None:
    """The highest stored number whose block is still on the chain; None if none is.

    Order and gaps of `stored` do not matter. The newest is asked for alone, because mostly it
    stands; then many in one batch. Raises ChainError when the chain cannot be asked, also where it
    is shorter than what is stored: then nothing is known, and nothing is rewound.
    """
    newest_first = sorted(stored, key=lambda b: b.number, reverse=True)
    start, size = 0, 1
    while part := newest_first[start : start + size]:
        hashes = await _hashes(client, [b.number for b in part])
        for seen, found in zip(part, hashes, strict=True):
            if found == seen.hash:
                return seen.number
        start, size = start + size, _BATCH
    return None


async def _hashes(client: EvmClient, numbers: Sequence[int]) -> list[str]:
    """Raises RpcUnavailable unless a quorum has all of them: one that is behind has no say."""
    blocks = await client.agreed(
        [("eth_getBlockByNumber", [hex(n), False]) for n in numbers],
        lambda r: [parse.header(raw).block for raw in r],
    )
    if [b.number for b in blocks] != list(numbers):
        raise RpcDisagreement("endpoint answered with another block", asked=numbers[0])
    return [b.hash for b in blocks]

"""Finality and reorganisations: which blocks count, and where our memory still holds."""

from collections.abc import Sequence
from dataclasses import dataclass

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

    Order and gaps of `stored` do not matter. Newest first, because reorgs are short. Raises
    ChainError when the chain cannot be asked: then nothing is known, and nothing is rewound.
    """
    newest_first = sorted(stored, key=lambda b: b.number, reverse=True)
    for start in range(0, len(newest_first), _BATCH):
        part = newest_first[start : start + _BATCH]
        headers = await client.headers([b.number for b in part])
        for seen, found in zip(part, headers, strict=True):
            if found is not None and found.block.hash == seen.hash:
                return seen.number
    return None

"""Ranges of blocks read ahead, several at a time, and handed over strictly in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from chains.evm.client import EvmClient
from chains.evm.watcher import scan_range
from chains.types import BlockScan

AT_ONCE = 4
RANGE_MAX = 32
"""Blocks. A range is parsed in one go, which nothing else in the process interrupts."""

Span = tuple[int, int]
"""First and last block of a range, both included."""


@dataclass
class Pace:
    """How many blocks a range has: more while it goes well, half where an endpoint gave up."""

    size: int = 8

    def went_well(self) -> None:
        self.size = min(2 * self.size, RANGE_MAX)

    def gave_up(self) -> None:
        self.size = max(self.size // 2, 1)


def spans(first: int, last: int, size: int) -> list[Span]:
    """The blocks from `first` to `last` in ranges of `size`. Requires size >= 1."""
    return [(n, min(n + size - 1, last)) for n in range(first, last + 1, size)]


async def scan_ahead(
    client: EvmClient,
    ranges: Sequence[Span],
    watched: AbstractSet[str],
    tokens: AbstractSet[str],
    *,
    traces: bool = False,
    at_once: int = AT_ONCE,
) -> AsyncGenerator[list[BlockScan]]:
    """`scan_range` of each range in turn. Close it (`aclosing`): that ends what is under way.

    Raises what the first range that fails raises, when its turn comes.
    """
    waiting: deque[asyncio.Task[list[BlockScan]]] = deque()
    try:
        for first, last in ranges:
            read = scan_range(client, first, last, watched, tokens, traces=traces)
            waiting.append(asyncio.create_task(read))
            if len(waiting) == at_once:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

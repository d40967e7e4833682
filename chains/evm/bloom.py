"""A block's bloom: which contracts and topics it may hold events of; it never hides one.

So an answer without the events of a contract that the bloom shows is asked for a second time.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from chains.evm.address import keccak

_BITS = 2047


def bloom(block: Any) -> int:
    """The bloom of a block answer; 0, which shows nothing, where the chain has none."""
    text = block.get("logsBloom")
    if text is None:
        return 0
    if not isinstance(text, str) or len(text) != 514:
        raise ValueError("block with half a bloom")
    return int(text, 16)


@lru_cache(maxsize=16384)
def mask(value_hex: str) -> int:
    """The three bits that an address or a topic in 0x hex sets."""
    digest = keccak(bytes.fromhex(value_hex[2:]))
    bits = (int.from_bytes(digest[i : i + 2], "big") & _BITS for i in (0, 2, 4))
    return sum(1 << bit for bit in set(bits))


def shown(block_bloom: int, tokens: Iterable[str], topic: str) -> list[str]:
    """The tokens, as they are spelled, that may have events with `topic` in the block."""
    wanted = mask(topic)
    if not block_bloom or block_bloom & wanted != wanted:
        return []
    return [t for t in tokens if block_bloom & (m := mask(t)) == m]

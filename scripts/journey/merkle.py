"""The log's tree as an outsider writes it from RFC 9162: by the definition, not for speed."""

import hashlib
from collections.abc import Callable, Sequence

WIDTH = 256
"""Hashes of a full tile (c2sp.org/tlog-tiles)."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of at least one leaf hash."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return hashlib.sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def consistency(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """PROOF(old, leaves). Requires 0 < old <= len(leaves)."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old <= split:
        return [*consistency(old, leaves[:split], whole), root(leaves[split:])]
    return [*consistency(old - split, leaves[split:], False), root(leaves[:split])]


def leaves_of(size: int, fetch: Callable[[str], bytes]) -> list[bytes]:
    """The leaf hashes of the first `size` entries, out of level 0 of the public tiles."""
    found: list[bytes] = []
    for index in range(-(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        above = f"x{index // 1000:03d}/" if index >= 1000 else ""
        partial = f".p/{width}" if width < WIDTH else ""
        tile = fetch(f"tile/0/{above}{index % 1000:03d}{partial}")
        found += [tile[at : at + 32] for at in range(0, len(tile), 32)]
    return found


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1

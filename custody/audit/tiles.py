"""The tree as static files, exactly as c2sp.org/tlog-tiles lays them out (tiles of height 8).

A file never changes once written: full tiles are for ever, and a partial tile is named after its
width. Every write is atomic and on disk before the next step.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from custody.audit import merkle
from custody.core.errors import Broken

WIDTH = 256
HEIGHT = 8
ENTRIES = "entries"
CHECKPOINT = "checkpoint"


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`; level is a number or `entries`. Index in groups of three digits."""
    if index < 0 or not 1 <= width <= WIDTH:
        raise ValueError(f"no tile {index} of width {width}")
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def width_at(size: int, level: int, index: int) -> int:
    """The width of tile `index` of a level in a tree of `size`; 0 if it is not there."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry after its length in 16 bits, big-endian."""
    return b"".join(len(e).to_bytes(2, "big") + e for e in entries)


def split_bundle(data: bytes) -> list[bytes]:
    """Inverse of `bundle`. Raises ValueError when the lengths do not fit."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if len(entry) != length:
            raise ValueError(f"entry bundle ends inside entry {len(entries)}")
        entries.append(entry)
        at += 2 + length
    return entries


def split_tile(data: bytes) -> list[bytes]:
    return [data[i : i + merkle.HASH_BYTES] for i in range(0, len(data), merkle.HASH_BYTES)]


def write_file(path: Path, data: bytes) -> None:
    """Atomic and durable: after this returns, the file survives a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class TileFolder:
    """Tiles under one folder, as of a tree of some size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, level: int | str, index: int, size: int) -> bytes:
        """The bytes of a tile in a tree of `size`. Raises FileNotFoundError.

        A partial tile that was removed is cut from the full one.
        """
        width = width_at(size, 0 if level == ENTRIES else int(level), index)
        if width == 0:
            raise FileNotFoundError(f"no tile {level}/{index} in a tree of {size}")
        try:
            return (self.folder / tile_path(level, index, width)).read_bytes()
        except FileNotFoundError:
            full = (self.folder / tile_path(level, index)).read_bytes()
        if level == ENTRIES:
            return bundle(split_bundle(full)[:width])
        return full[: width * merkle.HASH_BYTES]

    def write(self, level: int | str, index: int, width: int, data: bytes) -> None:
        """Write a tile once. Raises Broken if it is there with other bytes.

        A full tile makes its partial ones redundant, and they are removed.
        """
        path = self.folder / tile_path(level, index, width)
        if path.exists():
            if path.read_bytes() != data:
                raise Broken(f"{path} is not what the log says; it must never change")
            return
        write_file(path, data)
        if width == WIDTH:
            partials = path.with_name(path.name + ".p")
            for old in partials.glob("*") if partials.is_dir() else ():
                old.unlink()

    def hashes(self, level: int, index: int, size: int) -> list[bytes]:
        return split_tile(self.read(level, index, size))

    def node(self, size: int) -> merkle.Node:
        """Complete subtrees of the tree of `size`, out of the tiles. Reads each tile once."""
        cache: dict[tuple[int, int], list[bytes]] = {}

        def node(level: int, index: int) -> bytes:
            tile_level, rest = divmod(level, HEIGHT)
            first = index << rest
            key = (tile_level, first // WIDTH)
            if key not in cache:
                cache[key] = self.hashes(*key, size)
            start = first % WIDTH
            return merkle.root(cache[key][start : start + (1 << rest)])

        return node

    def root(self, size: int) -> bytes:
        """Raises FileNotFoundError when tiles of that size are not there."""
        return merkle.subtree_root(self.node(size), 0, size)

    def grow_upper(self, old: int, new: int) -> None:
        """Write all tiles above level 0 that the tree gains from `old` to `new` entries."""
        level = 1
        while new >> HEIGHT * level:
            for index in range((old >> HEIGHT * level) // WIDTH, _tiles(new, level)):
                self._write_upper(level, index, old, new)
            level += 1

    def _write_upper(self, level: int, index: int, old: int, new: int) -> None:
        width = width_at(new, level, index)
        known = self.hashes(level, index, old) if width_at(old, level, index) else []
        first = index * WIDTH
        below = (
            merkle.root(self.hashes(level - 1, first + i, new)) for i in range(len(known), width)
        )
        self.write(level, index, width, b"".join([*known, *below]))


def _tiles(size: int, level: int) -> int:
    """How many tiles, the partial one included, a level has."""
    return -(-(size >> HEIGHT * level) // WIDTH)

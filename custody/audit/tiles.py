"""The tree as static files, exactly as c2sp.org/tlog-tiles lays them out (tiles of height 8).

A file never changes once written: full tiles are for ever, and a partial tile is named after its
width. How they are written is told in `custody/audit/disk.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import Struct

from custody.audit import merkle
from custody.audit.disk import Disk, sync_folders, write_all
from custody.core.errors import Broken

WIDTH = 256
HEIGHT = 8
ENTRIES = "entries"
CHECKPOINT = "checkpoint"
_LENGTH = Struct(">H")


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
    length = _LENGTH.pack
    return b"".join([length(len(e)) + e for e in entries])


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


@dataclass(frozen=True, slots=True)
class Tile:
    """`level` is a number or `ENTRIES`; `width` is how many hashes or entries `data` has."""

    level: int | str
    index: int
    width: int
    data: bytes

    @property
    def path(self) -> str:
        return tile_path(self.level, self.index, self.width)


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

    def write(self, made: Iterable[Tile], disk: Disk) -> None:
        """Write tiles durably, each once. Raises Broken if one is there with other bytes.

        A full tile makes its partial ones redundant; they go once it is safe. Requires that nobody
        else writes meanwhile.
        """
        every = list(made)
        new = {tile.path: tile.data for tile in every if not self._has(tile)}
        write_all(disk, self.folder, new, present=(tile.path for tile in every))
        full = (self.folder / tile.path for tile in every if tile.width == WIDTH)
        sync_folders(disk, {path.parent for path in full if _drop_partials(path, disk)})

    def _has(self, tile: Tile) -> bool:
        try:
            there = (self.folder / tile.path).read_bytes()
        except FileNotFoundError:
            return False
        if there != tile.data:
            raise Broken(f"{tile.path} is not what the log says; it must never change")
        return True

    def hashes(self, level: int, index: int, size: int) -> list[bytes]:
        return split_tile(self.read(level, index, size))

    def node(self, size: int) -> merkle.Node:
        """Complete subtrees of the tree of `size`, out of the tiles, for proofs.

        Tiles that were read before are remembered: one that was changed since is not noticed.
        """
        folder = self.folder.resolve()

        def node(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, HEIGHT)
            tile, place = divmod(index << height, WIDTH)
            width = width_at(size, tile_level, tile)
            return _remembered(folder, tile_level, tile, width)[height][place >> height]

        return node

    def of_tree(self, size: int) -> Iterator[Tile]:
        """Every tile and entry bundle of a tree of `size`. Raises FileNotFoundError."""
        levels: list[int | str] = [ENTRIES, *range(-(-size.bit_length() // HEIGHT))]
        for level in levels:
            count = size >> (0 if level == ENTRIES else HEIGHT * int(level))
            for index in range(-(-count // WIDTH)):
                width = min(WIDTH, count - index * WIDTH)
                yield Tile(level, index, width, self.read(level, index, size))

    def root(self, size: int) -> bytes:
        """Out of the tiles as they are now: one a level. Raises FileNotFoundError."""
        last: list[bytes] = []
        level = 0
        while size >> HEIGHT * level:
            index, width = divmod(size >> HEIGHT * level, WIDTH)
            tail = self.hashes(level, index, size) if width else []
            last = [merkle.root([*tail, *last])] if tail or last else []
            level += 1
        return last[0] if last else merkle.EMPTY_ROOT


@lru_cache(maxsize=256)
def _remembered(folder: Path, level: int, index: int, width: int) -> list[list[bytes]]:
    """The rows of one tile's own tree, the hashes of the tile first: 32 KiB of a full one.

    Raises FileNotFoundError.
    """
    size = index * WIDTH + width << HEIGHT * level
    rows = [TileFolder(folder).hashes(level, index, size)]
    while len(rows) <= HEIGHT:
        rows.append(merkle.parents(rows[-1]))
    return rows


def _drop_partials(full: Path, disk: Disk) -> bool:
    """Remove the partial tiles of a full one; whether there were any."""
    folder = full.with_name(full.name + ".p")
    if not folder.is_dir():
        return False
    for partial in folder.iterdir():
        disk.remove(partial)
    disk.remove_folder(folder)
    return True

"""Tiles beyond the published checkpoint: whoever wrote them died before it was replaced.

The writer goes on from its rows, which had the numbers first. A database that lost those rows as
well does not know of them, and the signer may: what it signed stays history, though nobody was
shown it. What it did not sign was never part of the log and is cut off.
"""

from pathlib import Path

from custody.audit import note, tiles
from custody.audit.disk import Disk, alone, sync_folders, write_all


def head(folder: Path, published: note.TreeHead) -> note.TreeHead | None:
    """The largest tree whose tiles are all there; None unless it is larger than `published`."""
    tree = tiles.TileFolder(folder)
    size = _largest(tree, published.size)
    if size == published.size:
        return None
    try:
        return note.TreeHead(published.origin, size, tree.root(size))
    except FileNotFoundError:
        return None


def _largest(tree: tiles.TileFolder, size: int) -> int:
    index, found = size // tiles.WIDTH, size
    while (tree.folder / tiles.tile_path(0, index)).exists():
        index += 1
        found = index * tiles.WIDTH
    widths = [int(p.name) for p in _partials(tree, 0, index)]
    return max([found, *(index * tiles.WIDTH + width for width in widths)])


def _partials(tree: tiles.TileFolder, level: int | str, index: int) -> list[Path]:
    """The partial files of a tile, whole ones alone."""
    full = tree.folder / tiles.tile_path(level, index)
    folder = full.with_name(full.name + ".p")
    return [p for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []


def drop(folder: Path, size: int, disk: Disk) -> None:
    """Remove what is beyond a tree of `size`, durably; again changes nothing.

    Requires that no checkpoint beyond it was signed.
    """
    tree, levels = tiles.TileFolder(folder), folder / "tile"
    with alone(folder):
        for name in [p.name for p in levels.iterdir()]:
            level = name if name == tiles.ENTRIES else int(name)
            height = 0 if name == tiles.ENTRIES else tiles.HEIGHT * int(name)
            index, width = divmod(size >> height, tiles.WIDTH)
            while _cut(tree, level, index, width, disk):
                index, width = index + 1, 0


def _cut(tree: tiles.TileFolder, level: int | str, index: int, width: int, disk: Disk) -> bool:
    """Leave the first `width` of one tile; whether there was more."""
    full = tree.folder / tiles.tile_path(level, index)
    stale = [p for p in _partials(tree, level, index) if int(p.name) > width]
    if full.exists():
        if width:
            path = tiles.tile_path(level, index, width)
            write_all(disk, tree.folder, {path: _first(full.read_bytes(), level, width)})
        stale.append(full)
    for each in stale:
        disk.remove(each)
    sync_folders(disk, {each.parent for each in stale})
    return bool(stale)


def _first(data: bytes, level: int | str, width: int) -> bytes:
    if level == tiles.ENTRIES:
        return tiles.bundle(tiles.split_bundle(data)[:width])
    return b"".join(tiles.split_tile(data)[:width])

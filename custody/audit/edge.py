"""The right edge of the tree: all that is needed to append, whatever the tree's size. Pure.

Of each level of tiles it has the hashes of the unfinished tile, at most 255; and of the entries
those that no full bundle holds yet. It grows by batches, and says which tiles that makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from custody.audit import merkle, tiles


@dataclass(frozen=True, slots=True)
class Edge:
    """`tails[l]` are the hashes in the unfinished tile of level l, `entries` its entries."""

    size: int = 0
    tails: tuple[tuple[bytes, ...], ...] = ()
    entries: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The root of the tree: eight rows of pairs lead from one level of tiles to the next, and
        an unfinished tile is then the last node there."""
        last: tuple[bytes, ...] = ()
        for tail in self.tails:
            nodes = tail + last
            if nodes:
                last = (merkle.root(nodes),)
        return last[0] if last else merkle.EMPTY_ROOT

    def grow(
        self, entries: Sequence[bytes], hashes: Sequence[bytes]
    ) -> tuple["Edge", list[tiles.Tile]]:
        """The edge with `entries` appended, and every tile and bundle that is new by it.

        `hashes` are their leaf hashes.
        """
        made, waiting = _bundles(self, entries)
        tails: list[tuple[bytes, ...]] = []
        row = list(hashes)
        while row or len(tails) < len(self.tails):
            tail, new, row = _level(self, len(tails), row)
            tails.append(tail)
            made += new
        return Edge(self.size + len(entries), tuple(tails), waiting), made


def _level(
    edge: Edge, level: int, new: list[bytes]
) -> tuple[tuple[bytes, ...], list[tiles.Tile], list[bytes]]:
    """One level with `new` hashes: its tail, its new tiles, and the roots of the full ones."""
    known = edge.tails[level] if level < len(edge.tails) else ()
    if not new:
        return known, [], []
    row = [*known, *new]
    first = (edge.size >> tiles.HEIGHT * level) // tiles.WIDTH
    made, above = [], []
    for start in range(0, len(row), tiles.WIDTH):
        part = row[start : start + tiles.WIDTH]
        index = first + start // tiles.WIDTH
        made.append(tiles.Tile(level, index, len(part), b"".join(part)))
        if len(part) == tiles.WIDTH:
            above.append(merkle.root(part))
    return tuple(row[len(above) * tiles.WIDTH :]), made, above


def _bundles(edge: Edge, new: Sequence[bytes]) -> tuple[list[tiles.Tile], tuple[bytes, ...]]:
    """The entry bundles that are new, and the entries of the unfinished one."""
    if not new:
        return [], edge.entries
    row = [*edge.entries, *new]
    first, made = edge.size // tiles.WIDTH, []
    for start in range(0, len(row), tiles.WIDTH):
        part = row[start : start + tiles.WIDTH]
        index = first + start // tiles.WIDTH
        made.append(tiles.Tile(tiles.ENTRIES, index, len(part), tiles.bundle(part)))
    return made, tuple(row[len(row) // tiles.WIDTH * tiles.WIDTH :])


def load(tree: tiles.TileFolder, size: int, entries: Sequence[bytes]) -> Edge:
    """The edge of a tree of `size` out of its tiles: one file a level.

    `entries` are those of the unfinished bundle. Raises FileNotFoundError.
    """
    tails = []
    level = 0
    while size >> tiles.HEIGHT * level:
        index, width = divmod(size >> tiles.HEIGHT * level, tiles.WIDTH)
        tails.append(tuple(tree.hashes(level, index, size)) if width else ())
        level += 1
    return Edge(size, tuple(tails), tuple(entries))

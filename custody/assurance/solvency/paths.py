"""A holder's path through the tree, out of one stored chunk and the roots of all chunks."""

from collections.abc import Sequence
from dataclasses import dataclass

from custody.assurance.solvency import layout, tree
from custody.assurance.solvency.layout import HASH_BYTES, SUM_BYTES, Node
from custody.assurance.solvency.tree import CHUNK, CHUNK_DEPTH, record_bytes


@dataclass(frozen=True, slots=True)
class Path:
    """Where a leaf stands, what is in it, and its siblings from the bottom upwards."""

    index: int
    balances: tuple[int, ...]
    siblings: tuple[Node, ...]


def split(data: bytes, assets: int) -> list[tuple[bytes, tuple[int, ...]]]:
    """Stored records as (id or hash, sums)."""
    width = record_bytes(assets)
    if len(data) % width:
        raise ValueError("a record is cut")
    return [_record(data[i : i + width]) for i in range(0, len(data), width)]


def _record(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    sums = data[HASH_BYTES:]
    starts = range(0, len(sums), SUM_BYTES)
    return data[:HASH_BYTES], tuple(int.from_bytes(sums[i : i + SUM_BYTES], "big") for i in starts)


def path(id_: bytes, number: int, chunk: bytes, chunk_roots: bytes, assets: int) -> Path | None:
    """The path of the leaf with this id, which must be in chunk `number`; None if it is not."""
    records = split(chunk, assets)
    found = [i for i, record in enumerate(records) if record[0] == id_]
    if len(records) != CHUNK or len(found) != 1:
        return None
    below, _ = tree.climb(chunk, assets, found[0])
    above, _ = tree.climb(chunk_roots, assets, number, leaves=False)
    return Path(number * CHUNK + found[0], records[found[0]][1], below + above)


def root(index: int, leaf: Node, siblings: Sequence[Node]) -> Node:
    """Where a path leads. Raises OutOfRange where a sum does not fit, ValueError for an index that
    is not in the tree."""
    if not 0 <= index < 2 ** len(siblings) or len(siblings) < CHUNK_DEPTH:
        raise ValueError("index: is not in a tree of this depth")
    node = leaf
    for step, sibling in enumerate(siblings):
        node = layout.parent(sibling, node) if index >> step & 1 else layout.parent(node, sibling)
    return node

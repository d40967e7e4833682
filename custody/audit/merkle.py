"""RFC 9162 Merkle trees: hashes, roots, proofs and their verification. Pure.

Proofs are made from `Node`, a function that gives the hash of a complete subtree: of height
`level` and the `index`-th of that height. Leaves, tiles or anything else can stand behind it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Node = Callable[[int, int], bytes]


class ProofInvalid(Exception):
    """The proof does not show what it claims; the message says in which way."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def largest_power_of_two_below(n: int) -> int:
    """The largest power of two smaller than n. Requires n > 1."""
    return 1 << (n - 1).bit_length() - 1


def subtree_root(node: Node, begin: int, end: int) -> bytes:
    """MTH(D[begin:end]). Requires begin to be a multiple of a power of two >= end - begin."""
    size = end - begin
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, begin >> level)
    split = begin + largest_power_of_two_below(size)
    return node_hash(subtree_root(node, begin, split), subtree_root(node, split, end))


def nodes_of(leaf_hashes: Sequence[bytes]) -> Node:
    """Complete subtrees over leaves that are at hand; each is computed once."""

    @cache
    def node(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hashes[index]
        return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    return node


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The leaf hash of each entry."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def parents(row: Iterable[bytes]) -> list[bytes]:
    """The nodes above each pair of a row; a last one without a sibling is left out.

    The hot loop of the whole log: bound names, no calls between, pairs by one iterator.
    """
    sha256, hashes = hashlib.sha256, iter(row)
    return [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(hashes, hashes)  # noqa: B905  an odd last one has no pair
    ]


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, level by level: an odd last node moves up as it is."""
    if not leaf_hashes:
        return EMPTY_ROOT
    row = leaf_hashes
    while len(row) > 1:
        above = parents(row)
        if len(row) & 1:
            above.append(row[-1])
        row = above
    return row[0]


class Frontier:
    """A growing tree as the roots of its complete subtrees: RFC 9162's compact form."""

    def __init__(self) -> None:
        self.size = 0
        self._nodes: list[bytes | None] = []  # of height i, or None where bit i of the size is 0

    def push(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        carry, height = leaf, 0
        while self.size >> height & 1:
            left = self._nodes[height]
            assert left is not None
            self._nodes[height] = None
            carry, height = node_hash(left, carry), height + 1
        self._set(height, carry)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Append many at once, row by row: no call of ours for each."""
        row, height = list(leaves), 0
        while row:
            waiting = self._nodes[height] if height < len(self._nodes) else None
            if waiting is not None:
                row.insert(0, waiting)
            self._set(height, row[-1] if len(row) & 1 else None)
            row, height = parents(row), height + 1
        self.size += len(leaves)

    def root(self) -> bytes:
        found = None
        for node in self._nodes:
            if node is not None:
                found = node if found is None else node_hash(node, found)
        return EMPTY_ROOT if found is None else found

    def _set(self, height: int, node: bytes | None) -> None:
        if height == len(self._nodes):
            self._nodes.append(node)
        else:
            self._nodes[height] = node


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]), from the leaf's sibling upwards. Requires 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a tree of {size}")
    begin, end, path = 0, size, []
    while end - begin > 1:
        split = begin + largest_power_of_two_below(end - begin)
        if index < split:
            path.append(subtree_root(node, split, end))
            end = split
        else:
            path.append(subtree_root(node, begin, split))
            begin = split
    return path[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]). Requires 0 < old <= new; empty when they are equal."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new}")
    begin, end, path = 0, new, []
    while end != old:
        split = begin + largest_power_of_two_below(end - begin)
        if old <= split:
            path.append(subtree_root(node, split, end))
            end = split
        else:
            path.append(subtree_root(node, begin, split))
            begin = split
    if begin:
        path.append(subtree_root(node, begin, end))
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_: bytes
) -> None:
    """RFC 9162 2.1.3.2. Raises ProofInvalid unless `leaf` is entry `index` under `root_`."""
    _check_hashes([leaf, root_, *proof])
    if not 0 <= index < size:
        raise ProofInvalid(f"entry {index} is not in a tree of {size}")
    fn, sn, found = index, size - 1, leaf
    for hash_ in proof:
        if sn == 0:
            raise ProofInvalid("the proof is too long")
        if fn & 1 or fn == sn:
            found = node_hash(hash_, found)
            while fn & 1 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, hash_)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ProofInvalid("the proof is too short")
    if found != root_:
        raise ProofInvalid("the proof leads to another root")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """RFC 9162 2.1.4.2. Raises ProofInvalid unless the old tree is a prefix of the new one.

    A tree of size 0 proves nothing about its successors and is refused.
    """
    if not 0 < old <= new:
        raise ProofInvalid(f"no consistency from size {old} to {new}")
    if old == new:
        if proof or old_root != new_root:
            raise ProofInvalid("one size with two roots, or a proof where none belongs")
        return
    if not proof:
        raise ProofInvalid("the proof is empty")
    _check_hashes([old_root, new_root, *proof])
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # A complete old tree is itself the first node of the walk.
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    first = second = path[0]
    for hash_ in path[1:]:
        if sn == 0:
            raise ProofInvalid("the proof is too long")
        if fn & 1 or fn == sn:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while fn & 1 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, hash_)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ProofInvalid("the proof is too short")
    if first != old_root:
        raise ProofInvalid("the proof leads to another old root")
    if second != new_root:
        raise ProofInvalid("the proof leads to another new root")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(h) != HASH_BYTES for h in hashes):
        raise ProofInvalid(f"a hash has not {HASH_BYTES} bytes")

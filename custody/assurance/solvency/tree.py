"""The Merkle-sum tree of all customers, whole levels at a time.

Sums are pairs of unsigned 64-bit words (high, low), added with carry by numpy; the bytes of a level
are laid out in one go, and hashlib takes them slice by slice. Nothing here is a float.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from custody.assurance.solvency import layout
from custody.assurance.solvency.layout import HASH_BYTES, SUM_BYTES, Node, OutOfRange
from custody.core.ids import PREFIXES

CHUNK_DEPTH = 10
CHUNK = 2**CHUNK_DEPTH
"""Leaves that are stored together: a holder's proof reads one chunk and the roots of all."""
UUID_BYTES = 16
_BLOCK = 2**14
_WORD_MASK = 2**64 - 1

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Leaves:
    """One row a customer. `ids`: n x 32 bytes. `sums`: n x assets x (high, low)."""

    ids: Bytes
    sums: Words


@dataclass(frozen=True, slots=True)
class Tree:
    """`records`: leaf by leaf, id and sums as bytes. `chunks`: the same of the chunks' roots, with
    hashes in place of ids."""

    depth: int
    records: Bytes
    chunks: Bytes
    root: Node


def words(balances: Sequence[Sequence[int]], assets: int) -> Words:
    """Rows of balances as words. Raises OutOfRange."""
    for row in balances:
        for value in row:
            if not 0 <= value <= layout.SUM_MAX:
                raise OutOfRange(f"{value} is not from 0 to 2^128-1")
    flat = [part for row in balances for v in row for part in (v >> 64, v & _WORD_MASK)]
    return np.array(flat, dtype=np.uint64).reshape(len(balances), assets, 2)


def leaf_ids(secret: bytes, context_hash: bytes, customers: bytes) -> Bytes:
    """The ids of customers' leaves, in their order; `customers` is 16 bytes of UUID for each.

    The same as `layout.salt_of` and `layout.id_of`, without an object for each customer.
    """
    digest, sha256 = hmac.digest, hashlib.sha256
    salted, begun = layout.SALT + context_hash, layout.ID + context_hash
    printed, prefix = customers.hex().encode(), PREFIXES["customer"].encode() + b"_"
    made = []
    for i in range(0, len(customers), UUID_BYTES):
        salt = digest(secret, salted + customers[i : i + UUID_BYTES], "sha256")
        name = printed[2 * i : 2 * i + 2 * UUID_BYTES]
        made.append(sha256(begun + salt + prefix + name).digest())
    return np.frombuffer(b"".join(made), dtype=np.uint8).reshape(-1, HASH_BYTES)


def build(secret: bytes, context_hash: bytes, leaves: Leaves) -> Tree:
    """Pad, sort and hash. Raises OutOfRange where a sum overflows, ValueError for an id twice."""
    depth = layout.depth_for(len(leaves.ids))
    ids, sums = _padded(secret, context_hash, leaves, 2**depth)
    records = np.concatenate((ids, _packed(sums)), axis=1)
    del ids
    hashes = _leaf_hashes(records)
    level = 0
    while len(hashes) > 1:
        if level == CHUNK_DEPTH:
            chunks = np.concatenate((hashes, _packed(sums)), axis=1)
        hashes, sums = _parents(hashes, sums)
        level += 1
    root = _node(hashes[0], sums[0])
    if depth == CHUNK_DEPTH:
        chunks = np.concatenate((hashes, _packed(sums)), axis=1)
    return Tree(depth, records, chunks, root)


def _padded(secret: bytes, context_hash: bytes, leaves: Leaves, size: int) -> tuple[Bytes, Words]:
    """All leaves in the order of their ids."""
    count, assets = leaves.sums.shape[0], leaves.sums.shape[1]
    made = [layout.padding_id(secret, context_hash, i) for i in range(size - count)]
    padding = np.frombuffer(b"".join(made), dtype=np.uint8).reshape(-1, HASH_BYTES)
    ids = np.concatenate((leaves.ids, padding))
    order = np.argsort(_sortable(ids), kind="stable")
    ids = ids[order]
    keys = _sortable(ids)
    if not bool(np.all(keys[:-1] < keys[1:])):
        raise ValueError("two leaves have one id")
    sums = np.zeros((size, assets, 2), dtype=np.uint64)
    # Where each row goes: the inverse of the order, of which padding needs none.
    places = np.empty(size, dtype=np.int64)
    places[order] = np.arange(size)
    sums[places[:count]] = leaves.sums
    return ids, sums


def _sortable(ids: Bytes) -> NDArray[np.bytes_]:
    """As fixed texts, which compare byte by byte; of one length, so cut zeros change nothing."""
    return np.ascontiguousarray(ids).view(f"S{HASH_BYTES}").reshape(-1)


def _packed(sums: Words) -> Bytes:
    """n x (16 bytes an asset), big-endian."""
    return sums.astype(">u8").view(np.uint8).reshape(len(sums), -1)


def _leaf_hashes(records: Bytes) -> Bytes:
    tag = np.frombuffer(layout.LEAF, dtype=np.uint8)

    def preimages(begin: int, end: int) -> Bytes:
        rows = records[begin:end]
        return np.concatenate((np.broadcast_to(tag, (len(rows), 1)), rows), axis=1)

    return _hashed(len(records), preimages)


def _parents(hashes: Bytes, sums: Words) -> tuple[Bytes, Words]:
    """The level above: one row for two. Raises OutOfRange."""
    tag = np.frombuffer(layout.NODE, dtype=np.uint8)
    pairs = hashes.reshape(-1, 2 * HASH_BYTES)

    def preimages(begin: int, end: int) -> Bytes:
        below = _packed(sums[2 * begin : 2 * end]).reshape(end - begin, -1)
        tags = np.broadcast_to(tag, (end - begin, 1))
        return np.concatenate((tags, pairs[begin:end], below), axis=1)

    return _hashed(len(pairs), preimages), _added(sums[0::2], sums[1::2])


def _hashed(count: int, preimages: Callable[[int, int], Bytes]) -> Bytes:
    """SHA-256 of each row, a block of rows at a time so that little is held twice."""
    sha256, made = hashlib.sha256, []
    for begin in range(0, count, _BLOCK):
        rows = preimages(begin, min(begin + _BLOCK, count))
        width, data = rows.shape[1], rows.tobytes()
        digests = [sha256(data[i : i + width]).digest() for i in range(0, len(data), width)]
        made.append(b"".join(digests))
    return np.frombuffer(b"".join(made), dtype=np.uint8).reshape(count, HASH_BYTES)


def _added(left: Words, right: Words) -> Words:
    """128-bit sums, each with its carry. Raises OutOfRange for one over 2^128-1."""
    made = left + right  # words wrap at 2^64
    carry = made[..., 1] < left[..., 1]
    over = made[..., 0] < left[..., 0]
    made[..., 0] += carry
    over |= carry & (made[..., 0] == 0)
    if bool(over.any()):
        raise OutOfRange("a sum is over 2^128-1")
    return made


def root_of(data: bytes, assets: int, *, leaves: bool = True) -> Node:
    """The root over stored records: of leaves, or of nodes that have their hash already.

    Requires a power of two of them. Raises OutOfRange where a sum overflows.
    """
    return climb(data, assets, 0, leaves=leaves)[1]


def climb(
    data: bytes, assets: int, index: int, *, leaves: bool = True
) -> tuple[tuple[Node, ...], Node]:
    """The siblings on the way up from record `index`, and the root. As `root_of`."""
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record_bytes(assets))
    hashes = _leaf_hashes(records) if leaves else np.ascontiguousarray(records[:, :HASH_BYTES])
    packed = np.ascontiguousarray(records[:, HASH_BYTES:])
    sums = packed.view(">u8").astype(np.uint64).reshape(len(records), assets, 2)
    siblings = []
    while len(hashes) > 1:
        siblings.append(_node(hashes[index ^ 1], sums[index ^ 1]))
        hashes, sums = _parents(hashes, sums)
        index >>= 1
    return tuple(siblings), _node(hashes[0], sums[0])


def _node(hash_: Bytes, sums: Words) -> Node:
    """One row of a level."""
    return Node(hash_.tobytes(), tuple((int(h) << 64) | int(low) for h, low in sums))


def record(node: Node) -> bytes:
    """A node as it is stored."""
    return node.hash + layout.sum_bytes(node.sums)


def record_bytes(assets: int) -> int:
    """Bytes of a stored leaf or chunk root."""
    return HASH_BYTES + SUM_BYTES * assets

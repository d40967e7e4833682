"""Hexary Merkle-Patricia proofs: what a key leads to under a root (Ethereum Yellow Paper, App. D).

Strict: a proof is the path from the root downwards and nothing else. A node below 32 bytes stands
inside its parent and is not listed.
"""

from collections.abc import Callable, Mapping, Sequence

from chains.evm import rlp
from chains.evm.address import keccak
from chains.evm.rlp import Item

_EMPTY = rlp.encode(b"")
EMPTY_ROOT = keccak(_EMPTY)
_BRANCH, _SHORT = 17, 2
Fetch = Callable[[bytes], bytes]
"""The bytes that should have a hash; empty where there are none."""


def value_at(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The RLP that the trie with `root` has at keccak256(`key`); None where it has nothing.

    Raises ValueError unless the proof shows exactly that, with no node to spare.
    """
    if root == EMPTY_ROOT:
        if list(proof) not in ([], [_EMPTY]):
            raise ValueError("trie: an empty trie has no such nodes")
        return None
    nodes = iter(proof)
    found = _find(root, _nibbles(keccak(key)), lambda _: next(nodes, b""))
    if next(nodes, None) is not None:
        raise ValueError("trie: the proof has nodes to spare")
    return found


def value_among(
    root: bytes, key: bytes, nodes: Mapping[bytes, bytes], used: set[bytes]
) -> bytes | None:
    """`value_at` out of nodes that many proofs share, by hash; its own are added to `used`.

    Raises ValueError where one is missing or malformed.
    """
    if root == EMPTY_ROOT:
        return None

    def fetch(hash_: bytes) -> bytes:
        used.add(hash_)
        return nodes.get(hash_, b"")

    return _find(root, _nibbles(keccak(key)), fetch)


def _find(root: bytes, path: tuple[int, ...], fetch: Fetch) -> bytes | None:
    node = _node(root, fetch)
    while True:
        if len(node) == _BRANCH:
            if not path:
                return rlp.as_bytes(node[16]) or None
            child, path = node[path[0]], path[1:]
        else:
            is_leaf, shared = _path(rlp.as_bytes(node[0]))
            if is_leaf:
                return rlp.as_bytes(node[1]) if shared == path else None
            if path[: len(shared)] != shared:
                return None
            child, path = node[1], path[len(shared) :]
        if child == b"":
            return None
        node = _node(child, fetch)


def _node(reference: Item, fetch: Fetch) -> Sequence[Item]:
    """The node that a hash, or the node itself, refers to."""
    if isinstance(reference, bytes):
        raw = fetch(reference)
        if len(reference) != 32 or keccak(raw) != reference:
            raise ValueError("trie: a node is missing, or is not what its parent refers to")
        reference = rlp.decode(raw)
    node = rlp.as_list(reference)
    if len(node) not in (_BRANCH, _SHORT):
        raise ValueError(f"trie: a node of {len(node)} items")
    return node


def _path(encoded: bytes) -> tuple[bool, tuple[int, ...]]:
    """Whether it ends in a leaf, and the nibbles of a hex-prefix encoding."""
    nibbles = _nibbles(encoded)
    if not nibbles or nibbles[0] > 3 or (nibbles[0] % 2 == 0 and nibbles[1] != 0):
        raise ValueError("trie: not a hex-prefix path")
    return nibbles[0] >= 2, nibbles[1:] if nibbles[0] % 2 else nibbles[2:]


def _nibbles(data: bytes) -> tuple[int, ...]:
    return tuple(n for byte in data for n in (byte >> 4, byte & 15))

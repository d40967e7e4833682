"""Inclusion and consistency proofs, out of the tiles."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.audit import merkle, tiles
from custody.audit.checkpoint import Checkpoint
from custody.core.errors import InvalidInput

TLOG_PROOF = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That entry `index` is in the tree of `size`; hashes from the leaf's sibling upwards."""

    index: int
    size: int
    leaf_hash: bytes
    hashes: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "index": str(self.index),
            "size": str(self.size),
            "leaf_hash": self.leaf_hash.hex(),
            "hashes": [h.hex() for h in self.hashes],
        }


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the tree of `old` entries is a prefix of the tree of `new`."""

    old: int
    new: int
    hashes: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "old": str(self.old),
            "new": str(self.new),
            "hashes": [h.hex() for h in self.hashes],
        }


def inclusion(node: merkle.Node, index: int, size: int) -> InclusionProof:
    """Raises InvalidInput unless 0 <= index < size."""
    if not 0 <= index < size:
        raise InvalidInput("index", f"must be from 0 to {size - 1} in a tree of {size}")
    hashes = tuple(merkle.inclusion_proof(node, index, size))
    return InclusionProof(index, size, node(0, index), hashes)


def consistency(node: merkle.Node, old: int, new: int) -> ConsistencyProof:
    """Raises InvalidInput unless 0 < old <= new."""
    if not 0 < old <= new:
        raise InvalidInput("old", f"must be from 1 to {new}")
    return ConsistencyProof(old, new, tuple(merkle.consistency_proof(node, old, new)))


def from_tiles(folder: Path, size: int) -> merkle.Node:
    """Subtrees of the tree of `size`, which a checkpoint must have been signed for."""
    return tiles.TileFolder(folder).node(size)


def tlog_proof(proof: InclusionProof, checkpoint: Checkpoint) -> str:
    """The offline proof as text (c2sp.org/tlog-proof). Requires the proof's size to be its."""
    if proof.size != checkpoint.size:
        raise ValueError(f"a proof in {proof.size} does not belong to size {checkpoint.size}")
    hashes = "".join(base64.b64encode(h).decode() + "\n" for h in proof.hashes)
    return f"{TLOG_PROOF}\nindex {proof.index}\n{hashes}\n{checkpoint.note}"

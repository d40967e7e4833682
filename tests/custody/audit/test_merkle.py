"""Merkle trees against the public vectors, and two implementations against each other."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from custody.audit import merkle, verify
from custody.audit.edge import Edge
from tests.custody.audit.vectors import files, needs_vectors

pytestmark = pytest.mark.unit


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text) if text else b""


def _hashes(case: dict[str, Any]) -> list[bytes]:
    return [_bytes(h) for h in case["proof"] or []]


@needs_vectors
@pytest.mark.parametrize("path", files("rfc6962/inclusion/**/*.json"), ids=lambda p: p.stem)
def test_inclusion_vectors(path: Path) -> None:
    """Property 54."""
    case = json.loads(path.read_text())
    args = (_bytes(case["leafHash"]), case["leafIdx"], case["treeSize"])
    proof, root = _hashes(case), _bytes(case["root"])
    assert case["wantErr"] == _refuses(merkle.verify_inclusion, *args, proof, root)
    assert case["wantErr"] == _refuses(verify.check_inclusion, *args, proof, root, "proof")


@needs_vectors
@pytest.mark.parametrize("path", files("rfc6962/consistency/**/*.json"), ids=lambda p: p.stem)
def test_consistency_vectors(path: Path) -> None:
    """Property 54."""
    case = json.loads(path.read_text())
    args = (case["size1"], case["size2"], _bytes(case["root1"]), _bytes(case["root2"]))
    assert case["wantErr"] == _refuses(merkle.verify_consistency, *args, _hashes(case))
    assert case["wantErr"] == _refuses(verify.check_consistency, *args, _hashes(case), "proof")


def _refuses(check: Any, *args: Any) -> bool:
    try:
        check(*args)
    except (merkle.ProofInvalid, verify.Wrong):
        return True
    return False


LEAVES = [merkle.leaf_hash(str(i).encode()) for i in range(70)]
ROOTS = {n: merkle.root(LEAVES[:n]) for n in range(len(LEAVES) + 1)}
NODE = merkle.nodes_of(LEAVES)


def test_known_roots() -> None:
    """RFC 6962's own: the empty tree, and one empty leaf."""
    assert merkle.root([]).hex().startswith("e3b0c44298fc1c14")
    assert merkle.root([merkle.leaf_hash(b"")]).hex().startswith("6e340b9cffb37a98")


def test_four_ways_to_a_root_agree() -> None:
    frontier, roots = merkle.Frontier(), verify.tree_roots(LEAVES, set(ROOTS))
    assert frontier.root() == ROOTS[0]
    for size, leaf in enumerate(LEAVES, 1):
        frontier.push(leaf)
        recursive = merkle.subtree_root(NODE, 0, size)
        assert frontier.root() == ROOTS[size] == recursive == roots[size]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 16, 33, 70])
def test_a_tree_grown_in_batches_is_the_same(step: int) -> None:
    """Row by row, leaf by leaf, and as tiles: one root at every size."""
    frontier, mixed, at = merkle.Frontier(), merkle.Frontier(), Edge()
    entries = [str(i).encode() for i in range(len(LEAVES))]
    for begin in range(0, len(LEAVES), step):
        batch = LEAVES[begin : begin + step]
        frontier.extend(batch)
        mixed.push(batch[0])
        mixed.extend(batch[1:])
        at, _ = at.grow(entries[begin : begin + step], batch)
        assert frontier.size == mixed.size == at.size
        assert frontier.root() == mixed.root() == at.root() == ROOTS[at.size]


def test_every_proof_of_every_tree_verifies() -> None:
    for size in range(1, len(LEAVES) + 1):
        for i in range(size):
            proof = merkle.inclusion_proof(NODE, i, size)
            merkle.verify_inclusion(LEAVES[i], i, size, proof, ROOTS[size])
            verify.check_inclusion(LEAVES[i], i, size, proof, ROOTS[size], "")
            steps = merkle.consistency_proof(NODE, i + 1, size)
            merkle.verify_consistency(i + 1, size, ROOTS[i + 1], ROOTS[size], steps)
            verify.check_consistency(i + 1, size, ROOTS[i + 1], ROOTS[size], steps, "")


def test_mutated_proofs_are_refused() -> None:
    """Property 54: one bit, one hash less or more, another index, size or root."""
    rng = random.Random(54)
    for _ in range(2000):
        size = rng.randrange(2, len(LEAVES) + 1)
        old = rng.randrange(1, size)
        proof = merkle.inclusion_proof(NODE, old, size)
        steps = merkle.consistency_proof(NODE, old, size)
        for bad in _mutations(proof, rng):
            assert _refuses(merkle.verify_inclusion, LEAVES[old], old, size, bad, ROOTS[size])
            assert _refuses(verify.check_inclusion, LEAVES[old], old, size, bad, ROOTS[size], "")
        for bad in _mutations(steps, rng):
            args = (old, size, ROOTS[old], ROOTS[size], bad)
            assert _refuses(merkle.verify_consistency, *args)
            assert _refuses(verify.check_consistency, *args, "")
        zero = (old, size, bytes(32), ROOTS[size], steps)
        assert _refuses(merkle.verify_consistency, *zero)
        assert _refuses(verify.check_consistency, *zero, "")


def _mutations(proof: list[bytes], rng: random.Random) -> list[list[bytes]]:
    at = rng.randrange(len(proof))
    flipped = bytearray(proof[at])
    flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
    return [
        [*proof[:at], bytes(flipped), *proof[at + 1 :]],
        proof[:-1],
        proof[1:],
        [*proof, proof[at]],
        [],
    ]


def test_hashes_of_a_wrong_length_are_refused() -> None:
    with pytest.raises(merkle.ProofInvalid, match="32 bytes"):
        merkle.verify_inclusion(LEAVES[0], 0, 2, [LEAVES[1] + b"\x00"], ROOTS[2])

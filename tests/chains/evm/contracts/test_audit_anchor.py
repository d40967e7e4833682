"""AuditAnchor on a real node: its proof check against the Python ones, and what anchoring costs."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.devnet.anvil import Anvil
from chains.devnet.rpc import call, deploy, send
from chains.devnet.artifacts import own_artifact
from chains.evm.contracts.audit_anchor import ANCHOR
from custody.assurance.anchor import GAS_LIMIT
from custody.audit import merkle, verify
from tests.custody.audit.vectors import files, needs_vectors

pytestmark = pytest.mark.chain

VERIFY = "verifyConsistency(uint64,uint64,bytes32,bytes32,bytes32[])"
LEAVES_MAX = 300
GAS_MAX = 62_000
"""For a whole transaction that anchors with the longest proof at 2^24 leaves, not the first."""


@dataclass(frozen=True)
class Claim:
    """That the tree of `old` entries is a prefix of that of `new`."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    proof: tuple[bytes, ...]

    def can_be_said(self) -> bool:
        """The call has words of 32 bytes and sizes of 64 bits; nothing else can be sent."""
        hashes = (self.old_root, self.new_root, *self.proof)
        sizes = (self.old, self.new)
        return all(len(h) == 32 for h in hashes) and all(0 <= n < 2**64 for n in sizes)


@dataclass(frozen=True)
class Contract:
    url: str
    address: str
    accounts: tuple[str, ...]

    def accepts(self, c: Claim) -> bool:
        arguments = (c.old, c.new, c.old_root, c.new_root, list(c.proof))
        (verdict,) = call(self.url, self.address, VERIFY, *arguments, returns="(bool)")
        return bool(verdict)

    def anchor(self, log_id: bytes, size: int, root: bytes, proof: list[bytes]) -> int:
        """Gas of the whole transaction."""
        arguments = (log_id, size, root, 1_767_000_000, proof)
        receipt = send(self.url, self.accounts[1], self.address, ANCHOR, *arguments)
        return int(receipt["gasUsed"], 16)


@pytest.fixture(scope="module")
def contract(anvil_node: Anvil) -> Contract:
    url, accounts = anvil_node.rpc_url, tuple(anvil_node.rpc("eth_accounts"))
    return Contract(url, deploy(url, accounts[0], own_artifact("AuditAnchor")), accounts)


def python_accepts(c: Claim) -> bool:
    """Two implementations in Python, which must agree."""
    sides = (c.old, c.new, c.old_root, c.new_root, list(c.proof))
    checks: list[Callable[[], None]] = [
        lambda: merkle.verify_consistency(*sides),
        lambda: verify.check_consistency(*sides, "proof"),
    ]
    answers = {_passes(check) for check in checks}
    (answer,) = answers
    return answer


def _passes(check: Callable[[], None]) -> bool:
    try:
        check()
    except (merkle.ProofInvalid, verify.Wrong):
        return False
    return True


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text) if text else b""


@needs_vectors
@pytest.mark.parametrize("path", files("rfc6962/consistency/**/*.json"), ids=lambda p: p.stem)
def test_public_vectors(contract: Contract, path: Path) -> None:
    """Property 54."""
    case = json.loads(path.read_text())
    claim = Claim(
        case["size1"],
        case["size2"],
        _bytes(case["root1"]),
        _bytes(case["root2"]),
        tuple(_bytes(h) for h in case["proof"] or []),
    )
    assert python_accepts(claim) != case["wantErr"]
    if claim.can_be_said():
        assert contract.accepts(claim) != case["wantErr"]
    else:  # one vector has equal sizes and equal roots, both of them too short
        assert case["wantErr"] or (claim.old, claim.old_root) == (claim.new, claim.new_root)


@cache
def _tree(salt: int) -> tuple[merkle.Node, list[bytes]]:
    """Subtrees, and the root of every size."""
    leaves = [merkle.leaf_hash(f"{salt}/{i}".encode()) for i in range(LEAVES_MAX)]
    return merkle.nodes_of(leaves), [merkle.root(leaves[:n]) for n in range(LEAVES_MAX + 1)]


def _right(salt: int, old: int, new: int) -> Claim:
    node, roots = _tree(salt)
    proof = tuple(merkle.consistency_proof(node, old, new)) if old else ()
    return Claim(old, new, roots[old], roots[new], proof)


def test_every_proof_of_small_trees(contract: Contract) -> None:
    for new in range(1, 34):
        for old in range(new + 1):
            claim = _right(0, old, new)
            assert contract.accepts(claim) == python_accepts(claim) == (old > 0)


def _mutated(c: Claim, rng: random.Random) -> Claim:
    """Something else than was proved, in one of its parts."""
    parts: dict[str, Any] = dict(c.__dict__)
    proof, at = list(c.proof), rng.randrange(len(c.proof) or 1)
    match rng.randrange(8):
        case 0:
            parts["old"] = max(0, c.old + rng.choice((-2, -1, 1, 2, 64)))
        case 1:
            parts["new"] = max(0, c.new + rng.choice((-2, -1, 1, 2, 64)))
        case 2:
            parts["old"], parts["new"] = c.new, c.old
        case 3:
            parts["old_root"], parts["new_root"] = c.new_root, c.old_root
        case 4:
            parts["new_root"] = rng.choice((bytes(32), c.old_root, rng.randbytes(32)))
        case 5:
            proof.insert(at, rng.choice((c.old_root, c.new_root, rng.randbytes(32))))
        case 6:
            del proof[at : at + 1]
        case _:
            proof[at : at + 1] = [rng.randbytes(32)]
    return Claim(**{**parts, "proof": tuple(proof)})


@settings(max_examples=400, deadline=None)
@given(
    salt=st.integers(0, 3),
    sizes=st.tuples(st.integers(0, LEAVES_MAX), st.integers(1, LEAVES_MAX)).map(sorted),
    rng=st.randoms(use_true_random=False),
)
def test_random_trees_and_what_is_not_one(
    contract: Contract, salt: int, sizes: list[int], rng: random.Random
) -> None:
    """Property 54: right or wrong, the chain says what the verifiers say."""
    right = _right(salt, *sizes)
    assert contract.accepts(right) == python_accepts(right) == (sizes[0] > 0)
    wrong = _mutated(right, rng)
    assert contract.accepts(wrong) == python_accepts(wrong)


def _alike(levels: int) -> merkle.Node:
    """A tree of 2^levels equal leaves: one hash a level."""
    hashes = [merkle.leaf_hash(b"alike")]
    for _ in range(levels):
        hashes.append(merkle.node_hash(hashes[-1], hashes[-1]))
    return lambda level, _index: hashes[level]


def _cost(contract: Contract, levels: int, old: int) -> tuple[int, int]:
    """Gas of the second anchor, from `old` to 2^levels, and the hashes in its proof."""
    log_id, node = hashlib.sha256(f"{levels}/{old}".encode()).digest(), _alike(levels)
    register = "register(bytes32,address)"
    send(contract.url, contract.accounts[0], contract.address, register, log_id, contract.accounts[1])
    assert contract.anchor(log_id, old, merkle.subtree_root(node, 0, old), []) < GAS_LIMIT
    proof = merkle.consistency_proof(node, old, 2**levels)
    return contract.anchor(log_id, 2**levels, node(levels, 0), proof), len(proof)


def test_the_longest_proof_at_2_to_the_24_leaves_keeps_its_bar(contract: Contract) -> None:
    """25 hashes in the proof; the more bits set in the old size, the more of them are in both roots."""
    most = 2**24 - 1
    sizes = [most, *(most ^ 1 << bit for bit in (1, 2, 12, 22, 23)), 2**23 + 1, 3]
    sizes += random.Random(24).sample(range(5, most, 2), 4)
    costs = [_cost(contract, 24, old) for old in sizes]
    assert {hashes for _, hashes in costs} == {25}
    assert max(gas for gas, _ in costs) <= GAS_MAX


def test_the_gas_limit_is_enough_for_any_log(contract: Contract) -> None:
    """Sizes have 63 bits in the database; this is one more than the largest."""
    gas, hashes = _cost(contract, 63, 2**63 - 1)
    assert hashes == 64
    assert gas < GAS_LIMIT

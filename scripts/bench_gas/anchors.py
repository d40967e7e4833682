"""What anchoring costs on a running Anvil, with the longest consistency proof at 2^24 leaves.

Whole receipts. A log's second anchor: the first opens its words of storage and proves nothing.
"""

import hashlib
from dataclasses import dataclass

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import deploy, rpc, send
from custody.audit import merkle

LEVELS = 24
SIZES = (2**24 - 1, 2**24 - 2, 2**24 - 3, 2**24 - 1 ^ 1 << 12, 2**23 + 1)
"""Sizes to anchor from: each proof to 2^24 has a hash for every level. How much of it goes into the
old root and how much into the new one decides the rest, so the dearest is taken."""
TIME_S = 1_767_000_000
ANCHOR = "anchor(bytes32,uint64,bytes32,uint64,bytes32[])"


@dataclass(frozen=True, slots=True)
class AnchorGas:
    gas: int
    hashes: int


def measure_anchor(rpc_url: str) -> AnchorGas:
    """The dearest of the longest proofs."""
    owner, anchorer = rpc(rpc_url, "eth_accounts")[-2:]
    contract = deploy(rpc_url, owner, own_artifact("AuditAnchor"))
    found = [_cost(rpc_url, contract, owner, anchorer, size) for size in SIZES]
    return max(found, key=lambda f: f.gas)


def _cost(rpc_url: str, contract: str, owner: str, anchorer: str, size: int) -> AnchorGas:
    node, log_id = _alike(LEVELS), hashlib.sha256(str(size).encode()).digest()
    send(rpc_url, owner, contract, "register(bytes32,address)", log_id, anchorer)
    first: tuple[object, ...] = (log_id, size, merkle.subtree_root(node, 0, size), TIME_S, [])
    send(rpc_url, anchorer, contract, ANCHOR, *first)
    proof = merkle.consistency_proof(node, size, 2**LEVELS)
    second = (log_id, 2**LEVELS, node(LEVELS, 0), TIME_S, proof)
    receipt = send(rpc_url, anchorer, contract, ANCHOR, *second)
    return AnchorGas(int(receipt["gasUsed"], 16), len(proof))


def _alike(levels: int) -> merkle.Node:
    """A tree of 2^levels equal leaves: one hash a level."""
    hashes = [merkle.leaf_hash(b"alike")]
    for _ in range(levels):
        hashes.append(merkle.node_hash(hashes[-1], hashes[-1]))
    return lambda level, _index: hashes[level]

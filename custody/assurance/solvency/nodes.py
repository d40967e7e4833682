"""Trie nodes that the proofs of one chain share: each is in a report once, and found by its hash.

Ten thousand deposit addresses would otherwise carry the top of one trie ten thousand times.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chains.evm import trie
from chains.evm.address import keccak
from chains.evm.state_proofs import StateProof


@dataclass(slots=True)
class Nodes:
    """A chain's nodes by hash, under its pinned block's state root; `used` grows with proofs."""

    state_root: bytes
    by_hash: Mapping[bytes, bytes]
    used: set[bytes] = field(default_factory=set)

    @staticmethod
    def of(state_root: bytes, shown: Sequence[str]) -> "Nodes":
        """Of a report's list. Raises ValueError for one that is not in order, or is there twice."""
        if list(shown) != sorted(set(shown)):
            raise ValueError("proof: the nodes are not in order, each once")
        return Nodes(state_root, {keccak(raw): raw for raw in map(_bytes, shown)})

    def account(self, address: bytes) -> bytes | None:
        """RLP of the account; None where the state has none. Raises ValueError."""
        return self.slot(self.state_root, address)

    def slot(self, storage_root: bytes, key: bytes) -> bytes | None:
        """RLP of the value; None where there is none. Raises ValueError."""
        return trie.value_among(storage_root, key, self.by_hash, self.used)

    def to_spare(self) -> bool:
        """Whether there are nodes that no proof has used."""
        return self.used != set(self.by_hash)


def shown(nodes: Iterable[bytes]) -> list[str]:
    """As a report lists them."""
    return sorted({"0x" + node.hex() for node in nodes})


def of_proof(proof: StateProof) -> set[bytes]:
    """All nodes of an account's proof and of its slots'."""
    return {*proof.proof, *(node for slot in proof.slots for node in slot.proof)}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))

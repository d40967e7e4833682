"""An EVM chain's state in memory: tries, account and storage proofs, headers. Written apart from
the service's own reading of them, with the `rlp` package for the encoding."""

from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]
from Crypto.Hash import keccak

EMPTY_ROOT = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def _packed(nibbles: str, leaf: bool) -> bytes:
    flag = (2 if leaf else 0) + len(nibbles) % 2
    return bytes.fromhex(f"{flag:x}" + ("" if len(nibbles) % 2 else "0") + nibbles)


class Trie:
    """A hexary trie over hashed keys; small ones only, for it is made anew for each question."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.nodes: dict[bytes, bytes] = {}
        rows = {keccak256(k).hex(): v for k, v in items.items()}
        top = self._node(rows)
        raw = rlp.encode(top)
        self.root = keccak256(raw)
        self.nodes[self.root] = raw

    def _node(self, rows: dict[str, bytes]) -> Any:
        if not rows:
            return b""
        if len(rows) == 1:
            ((path, value),) = rows.items()
            return [_packed(path, True), value]
        paths = list(rows)
        shared = 0
        while all(p[shared] == paths[0][shared] for p in paths):
            shared += 1
        if shared:
            inner = self._node({p[shared:]: v for p, v in rows.items()})
            return [_packed(paths[0][:shared], False), self._reference(inner)]
        branch: list[Any] = [b""] * 17
        for nibble in "0123456789abcdef":
            part = {p[1:]: v for p, v in rows.items() if p[0] == nibble}
            branch[int(nibble, 16)] = self._reference(self._node(part)) if part else b""
        return branch

    def _reference(self, node: Any) -> Any:
        raw = rlp.encode(node)
        if len(raw) < 32:
            return node
        self.nodes[keccak256(raw)] = raw
        return keccak256(raw)

    def proof(self, key: bytes) -> list[bytes]:
        """The nodes from the root down as far as the key's path goes (EIP-1186)."""
        if self.root.hex() == EMPTY_ROOT:
            return []
        nibbles, found = keccak256(key).hex(), [self.nodes[self.root]]
        node: Any = rlp.decode(found[0])
        while True:
            if len(node) == 17:
                child, nibbles = (node[int(nibbles[0], 16)], nibbles[1:]) if nibbles else (b"", "")
            else:
                flag = node[0].hex()
                path = flag[1:] if int(flag[0], 16) % 2 else flag[2:]
                if int(flag[0], 16) > 1 or not nibbles.startswith(path):
                    return found
                child, nibbles = node[1], nibbles[len(path) :]
            if child == b"":
                return found
            if isinstance(child, list):
                node = child
                continue
            found.append(self.nodes[bytes(child)])
            node = rlp.decode(found[-1])


@dataclass
class PaperAccount:
    nonce: int = 1
    balance: int = 0
    code_hash: bytes = keccak256(b"code")
    storage: dict[int, int] = field(default_factory=dict)

    def trie(self) -> Trie:
        return Trie({k.to_bytes(32, "big"): rlp.encode(v) for k, v in self.storage.items() if v})

    def rlp(self) -> bytes:
        return bytes(rlp.encode([self.nonce, self.balance, self.trie().root, self.code_hash]))


@dataclass
class PaperChain:
    """Accounts by address; every `block` shows the state as it is now."""

    accounts: dict[str, PaperAccount] = field(default_factory=dict)

    def trie(self) -> Trie:
        return Trie({bytes.fromhex(a[2:]): account.rlp() for a, account in self.accounts.items()})

    def header(self, number: int, time: int, parent: bytes = b"\x01" * 32) -> bytes:
        fields: list[Any] = [b"\0" * 32] * 15
        fields[0], fields[2], fields[3] = parent, b"\x02" * 20, self.trie().root
        fields[6], fields[7:12] = b"\0" * 256, [0, number, 30_000_000, 21_000, time]
        fields[12], fields[14] = b"", b"\0" * 8
        return bytes(rlp.encode([*fields, 7, b"\x03" * 32]))

    def account(self, address: str) -> dict[str, Any]:
        """The account and its proof as evidence shows them."""
        held = self.accounts[address]
        return {
            "nonce": str(held.nonce),
            "balance": str(held.balance),
            "storage_hash": "0x" + held.trie().root.hex(),
            "code_hash": "0x" + held.code_hash.hex(),
            "proof": ["0x" + n.hex() for n in self.trie().proof(bytes.fromhex(address[2:]))],
        }

    def slot(self, address: str, slot: int) -> dict[str, Any]:
        held = self.accounts[address]
        return {
            "slot": f"0x{slot:064x}",
            "value": f"0x{held.storage.get(slot, 0):064x}",
            "proof": ["0x" + n.hex() for n in held.trie().proof(slot.to_bytes(32, "big"))],
        }


def block(header: bytes) -> dict[str, str]:
    fields = rlp.decode(header)
    number, time = (int.from_bytes(fields[i], "big") for i in (8, 11))
    return {
        "number": str(number),
        "hash": "0x" + keccak256(header).hex(),
        "time": str(time),
        "header": "0x" + header.hex(),
    }

"""An EVM chain's state in memory: account and storage proofs, headers. Written apart from the
service's own reading of them, with the `rlp` package for the encoding."""

from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]

from tests.fixtures.tries import Trie, keccak256


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
            "proof": self.trie().shown(bytes.fromhex(address[2:])),
        }

    def slot(self, address: str, slot: int) -> dict[str, Any]:
        held = self.accounts[address]
        return {
            "slot": f"0x{slot:064x}",
            "value": f"0x{held.storage.get(slot, 0):064x}",
            "proof": held.trie().shown(slot.to_bytes(32, "big")),
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

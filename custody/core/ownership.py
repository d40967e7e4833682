"""Statements of ownership: what a key signs to say that an address is the entity's, in one epoch.

EIP-191, version 0x45. The text is closed: nobody chooses a word of it but by the five fields, whose
forms are checked, so no transaction (they begin with 0x01 to 0x7f, or 0xc0 and more), no typed data
(0x19 0x01) and no other message can be passed off as one. The challenge is younger than the epoch's
opening, so no statement exists in advance and none serves twice.
"""

import re
from dataclasses import dataclass

from chains.evm.address import checksum, keccak
from chains.evm.contracts.safe import domain_separator

ENTITY = re.compile(r"[!-~]{1,200}/ten_[0-9a-f]{32}")
NUMBER_MAX = 2**63 - 1
CHALLENGE_BYTES = 32
_PREFIX = b"\x19Ethereum Signed Message:\n"
_SAFE_MESSAGE = keccak(b"SafeMessage(bytes message)")


@dataclass(frozen=True, slots=True)
class Statement:
    """`address` is what is owned, `by` who says so: itself, or who rules a contract of ours."""

    entity: str
    epoch: int
    challenge: bytes
    chain_id: int
    address: str
    by: str

    def __post_init__(self) -> None:
        """Raises ValueError for a field that is not of its form."""
        if ENTITY.fullmatch(self.entity) is None:
            raise ValueError("entity: must be <log origin>/<tenant id>")
        for name, value in (("epoch", self.epoch), ("chain_id", self.chain_id)):
            if type(value) is not int or not 0 < value <= NUMBER_MAX:
                raise ValueError(f"{name}: must be from 1 to 2^63-1")
        if len(self.challenge) != CHALLENGE_BYTES:
            raise ValueError("challenge: must be 32 bytes")
        for name, address in (("address", self.address), ("by", self.by)):
            if checksum(address) != address:
                raise ValueError(f"{name}: must be an address in its EIP-55 form")

    def text(self) -> str:
        return "\n".join(
            (
                "Moorage statement of ownership",
                "This signature moves no money and authorises nothing.",
                f"entity: {self.entity}",
                f"epoch: {self.epoch}",
                f"challenge: 0x{self.challenge.hex()}",
                f"chain: {self.chain_id}",
                f"address: {self.address}",
                f"by: {self.by}",
            )
        )

    def digest(self) -> bytes:
        """What a key signs (EIP-191)."""
        text = self.text().encode("ascii")
        return keccak(_PREFIX + str(len(text)).encode() + text)

    def safe_digest(self) -> bytes:
        """What the owners of the Safe at `address` sign, for its EIP-1271 to accept the digest."""
        struct = keccak(_SAFE_MESSAGE + keccak(self.digest()))
        return keccak(b"\x19\x01" + domain_separator(self.chain_id, self.address) + struct)


def entity_of(origin: str, tenant: str) -> str:
    """The name of one tenant of one log. `tenant` is the printed id."""
    return f"{origin}/{tenant}"

"""Keccak-256 and EIP-55 addresses."""

import re
from functools import lru_cache

from Crypto.Hash import keccak as _keccak

ZERO_ADDRESS = "0x" + "0" * 40
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def keccak(data: bytes) -> bytes:
    """Keccak-256, as Ethereum uses it (not NIST SHA-3)."""
    return _keccak.new(digest_bits=256, data=data).digest()


@lru_cache(maxsize=65536)
def checksum(address: str) -> str:
    """The EIP-55 form of any spelling. Raises ValueError if it is no 20-byte address.

    A mixed-case spelling must carry the right checksum already: it was typed by somebody.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"not an address: {address!r}")
    digits = address[2:]
    lower = digits.lower()
    form = _form(lower)
    if digits not in (lower, digits.upper()) and form != address:
        raise ValueError(f"bad EIP-55 checksum: {address}")
    return form


def is_checksummed(address: str) -> bool:
    """Whether the text is exactly the EIP-55 form of an address."""
    try:
        return checksum(address) == address
    except ValueError:
        return False


def address_bytes(address: str) -> bytes:
    """The 20 bytes. Raises ValueError."""
    return bytes.fromhex(checksum(address)[2:])


def address_from_bytes(raw: bytes) -> str:
    """EIP-55 form of 20 bytes. Raises ValueError on another length."""
    if len(raw) != 20:
        raise ValueError(f"an address has 20 bytes, not {len(raw)}")
    return _form(raw.hex())


def address_from_public_key(point: bytes) -> str:
    """Requires the 65-byte uncompressed public key."""
    if len(point) != 65 or point[0] != 4:
        raise ValueError("an uncompressed public key has 65 bytes and starts with 4")
    return address_from_bytes(keccak(point[1:])[12:])


def hash_hex(text: object) -> str:
    """A 32-byte hash as lower-case 0x hex. Raises ValueError."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise ValueError(f"not a 32-byte hash: {text!r}")
    return text.lower()


def _form(lower: str) -> str:
    """EIP-55: a letter is a capital where the digit of the hash at its place is 8 or more."""
    digest = keccak(lower.encode()).hex()
    pairs = zip(lower, digest, strict=False)  # the hash is longer
    return "0x" + "".join([c.upper() if d > "7" else c for c, d in pairs])

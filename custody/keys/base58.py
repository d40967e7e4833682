"""Base58Check and HASH160, as BIP-32 writes extended keys."""

import hashlib

from Crypto.Hash import RIPEMD160

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)}


def encode_check(payload: bytes) -> str:
    """Base58 of the payload and the first four bytes of its double SHA-256."""
    data = payload + _checksum(payload)
    value, text = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def decode_check(text: str) -> bytes:
    """The payload. Raises ValueError, without quoting the text: it may be a private key."""
    value = 0
    for c in text:
        if c not in _VALUES:
            raise ValueError("base58: a character is not in the alphabet")
        value = value * 58 + _VALUES[c]
    zeros = len(text) - len(text.lstrip("1"))
    data = b"\0" * zeros + value.to_bytes((value.bit_length() + 7) // 8, "big")
    payload, checksum = data[:-4], data[-4:]
    if len(data) < 4 or _checksum(payload) != checksum:
        raise ValueError("base58: the checksum does not match")
    return payload


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256."""
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]

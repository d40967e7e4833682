"""Salted commitments: how personal data is bound to the log without being in it.

SHA-256 over a domain tag, a random salt of 32 bytes and the value. Whoever has lost the salt
(it is erased with the person's key) cannot tell what was committed to, not even by guessing.
"""

import hashlib
import hmac
import os

SALT_BYTES = 32
_DOMAIN = b"moorage.commitment/1\n"


def new_salt() -> bytes:
    return os.urandom(SALT_BYTES)


def commitment(salt: bytes, value: str) -> str:
    """64 hex digits. Requires a salt of 32 bytes, used for this value alone."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(_DOMAIN + salt + value.encode()).hexdigest()


def opens(commitment_hex: str, salt: bytes, value: str) -> bool:
    """Whether `salt` and `value` open the commitment."""
    return hmac.compare_digest(commitment(salt, value), commitment_hex)

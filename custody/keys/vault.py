"""Key-encryption keys behind one port, and the embedded default: a passphrase through scrypt.

The others are `kek_pkcs11` (a hardware module) and `kek_aws` (AWS KMS); `keks` knows which of them
an envelope names.

CannotOpen
└── KekDestroyed
"""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any, Protocol

from Crypto.Protocol.KDF import scrypt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1
"""64 MiB and about 0.2 s: paid once at start, and by whoever guesses at each try."""

NONCE_BYTES = 12


class CannotOpen(Exception):
    """The blob is not what this key sealed under these names. Says nothing more."""


class KekDestroyed(CannotOpen):
    """The key that wrapped the blob was destroyed on purpose: nothing opens it any more."""


class Kek(Protocol):
    """Wraps data keys; the key itself need not be known to this process.

    `associated` is authenticated: a blob opens with the very bytes that it was wrapped with.
    """

    def describe(self) -> dict[str, Any]:
        """What is needed to find the key again; nothing secret. Goes into the envelope."""
        ...

    def wrap(self, data_key: bytes, associated: bytes) -> bytes: ...

    def unwrap(self, blob: bytes, associated: bytes) -> bytes:
        """Raises CannotOpen; KekDestroyed where the key is known to be gone."""
        ...

    def destroy(self) -> None:
        """End the key for ever, as far as it lies with its keeper. Done twice is done once."""
        ...


@dataclass(frozen=True, slots=True)
class LocalKek:
    """A KEK derived from a passphrase. Use `create` or `reopen`."""

    salt: bytes
    n: int
    _key: bytes = field(repr=False)

    @staticmethod
    def create(passphrase: str, n: int = SCRYPT_N) -> "LocalKek":
        """A new KEK with a salt of its own. Raises ValueError for an empty passphrase."""
        salt = secrets.token_bytes(16)
        return LocalKek(salt, n, _stretch(passphrase, salt, n))

    @staticmethod
    def reopen(passphrase: str, description: dict[str, Any]) -> "LocalKek":
        """The KEK that an envelope describes. A wrong passphrase shows at `unwrap`."""
        if description.get("kind") != "local-scrypt":
            raise ValueError("the envelope's KEK is of another kind")
        salt, n = base64.b64decode(description["salt"]), int(description["n"])
        return LocalKek(salt, n, _stretch(passphrase, salt, n))

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "local-scrypt",
            "salt": base64.b64encode(self.salt).decode(),
            "n": self.n,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
        }

    def wrap(self, data_key: bytes, associated: bytes) -> bytes:
        return seal(self._key, data_key, associated)

    def unwrap(self, blob: bytes, associated: bytes) -> bytes:
        return unseal(self._key, blob, associated)

    def destroy(self) -> None:
        """Nothing to end: the key exists in whoever knows the passphrase and has the salt.

        The register refuses it from then on (`keks`); forgetting the passphrase is up to people.
        """


def seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    """AES-256-GCM: nonce, ciphertext and tag in one."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, associated)


def unseal(key: bytes, blob: bytes, associated: bytes) -> bytes:
    """Inverse of `seal`. Raises CannotOpen."""
    try:
        return AESGCM(key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("wrong key, other names, or a changed blob") from error


def _stretch(passphrase: str, salt: bytes, n: int) -> bytes:
    if not passphrase:
        raise ValueError("passphrase: must not be empty")
    if n < 2**10 or n > 2**22 or n & (n - 1):
        raise ValueError("scrypt: n must be a power of two from 2^10 to 2^22")
    # pycryptodome's stub promises a tuple for several keys; one is asked for.
    return bytes(scrypt(passphrase, salt, key_len=32, N=n, r=SCRYPT_R, p=SCRYPT_P))  # type: ignore[arg-type]

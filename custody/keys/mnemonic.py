"""BIP-39: entropy to words and words to a seed. English words only for what we make."""

import hashlib
import secrets
import unicodedata
from functools import cache
from importlib.resources import files

WORDS_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
"""Of the standard's english.txt. The list comes from eth-account's package and is checked."""

ENTROPY_BYTES = (16, 20, 24, 28, 32)
PBKDF2_ROUNDS = 2048


def mnemonic_new(entropy_bytes: int = 32) -> str:
    """A new mnemonic from the operating system's random source, 256 bits unless told otherwise."""
    return mnemonic_from_entropy(secrets.token_bytes(entropy_bytes))


def mnemonic_from_entropy(entropy: bytes) -> str:
    """The words for entropy and its checksum. Raises ValueError on a length BIP-39 has not."""
    if len(entropy) not in ENTROPY_BYTES:
        raise ValueError(f"entropy: must have one of {ENTROPY_BYTES} bytes")
    checksum_bits = len(entropy) // 4
    checksum = hashlib.sha256(entropy).digest()[0] >> (8 - checksum_bits)
    value = int.from_bytes(entropy, "big") << checksum_bits | checksum
    count = (len(entropy) * 8 + checksum_bits) // 11
    return " ".join(_words()[value >> 11 * i & 0x7FF] for i in reversed(range(count)))


def entropy_from_mnemonic(mnemonic: str) -> bytes:
    """Inverse of `mnemonic_from_entropy`. Raises ValueError, without quoting the words."""
    words = unicodedata.normalize("NFKD", mnemonic).split()
    if len(words) * 11 * 32 // 33 not in [8 * n for n in ENTROPY_BYTES] or len(words) % 3:
        raise ValueError("mnemonic: must have 12, 15, 18, 21 or 24 words")
    value = 0
    for word in words:
        if word not in _index():
            raise ValueError("mnemonic: a word is not in the list")
        value = value << 11 | _index()[word]
    checksum_bits = len(words) // 3
    entropy = (value >> checksum_bits).to_bytes(checksum_bits * 4, "big")
    if mnemonic_from_entropy(entropy) != " ".join(words):
        raise ValueError("mnemonic: the checksum does not match")
    return entropy


def seed_from_mnemonic(mnemonic: str, passphrase: str = "") -> bytes:
    """The 64-byte seed: PBKDF2-HMAC-SHA512 over the NFKD forms. Does not check the words."""
    password = unicodedata.normalize("NFKD", mnemonic).encode()
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase).encode()
    return hashlib.pbkdf2_hmac("sha512", password, salt, PBKDF2_ROUNDS)


@cache
def _words() -> tuple[str, ...]:
    data = files("eth_account").joinpath("hdaccount/wordlist/english.txt").read_bytes()
    if hashlib.sha256(data).hexdigest() != WORDS_SHA256:
        raise RuntimeError("the BIP-39 word list is not the standard's")
    return tuple(data.decode().split())


@cache
def _index() -> dict[str, int]:
    return {word: i for i, word in enumerate(_words())}

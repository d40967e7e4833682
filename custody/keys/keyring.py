"""The opened secrets, in the signer's memory only: HD accounts and the log's key."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chains.evm.transactions import CURVE_ORDER
from custody.keys import hd, mnemonic

SCHEMA = "moorage.secrets/1"
ED25519_NOTE_TYPE = b"\x01"
PATHS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature with low s."""

    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A key with what its signatures are checked against: the compressed point."""

    key: PrivateKey = field(repr=False)
    point: bytes
    address: str


class Keyring:
    """Signs digests and never shows what it signs with."""

    def __init__(self, plain: bytes) -> None:
        """`plain` is what `new_secrets` made. Raises ValueError, without quoting it."""
        try:
            body = json.loads(plain)
            entropy, log_key = bytes.fromhex(body["entropy"]), bytes.fromhex(body["log_key"])
            self.authority = bytes.fromhex(body["authority"])
            self.origin = str(body["origin"])
        except (ValueError, KeyError, TypeError):
            raise ValueError("secrets: not of the expected form") from None
        words = mnemonic.mnemonic_from_entropy(entropy)
        self._root = hd.master(mnemonic.seed_from_mnemonic(words)).derive("m/44'/60'")
        self._log_key = Ed25519PrivateKey.from_private_bytes(log_key)
        self._nodes: dict[tuple[int, str], _Leaf] = {}

    def __repr__(self) -> str:
        return f"Keyring(origin={self.origin!r})"

    def account_xpub(self, account_index: int) -> str:
        """The xpub at m/44'/60'/account'. Raises ValueError out of range."""
        hd.account_path(account_index)
        return hd.encode_xpub(self._root.child(hd.HARDENED + account_index).public())

    def address(self, account_index: int, sender_path: str) -> str:
        """The EIP-55 address at `branch/index` of an account. Raises ValueError."""
        return self._leaf(account_index, sender_path).address

    def sign(self, account_index: int, sender_path: str, digest: bytes) -> Signature:
        """ECDSA (RFC 6979) over 32 bytes; checked before it leaves: low s, recovers to the key.

        The check costs more than the signature. It stays: a fault in the machine while signing
        can make a signature that gives the key away.
        """
        leaf = self._leaf(account_index, sender_path)
        raw = leaf.key.sign_recoverable(digest, hasher=None)
        signature = Signature(
            raw[64], int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
        )
        recovered = PublicKey.from_signature_and_message(raw, digest, hasher=None)
        if signature.s > CURVE_ORDER // 2 or recovered.format() != leaf.point:
            raise RuntimeError("a signature failed its own check")
        return signature

    def sign_note(self, body: bytes) -> bytes:
        """The log key's raw Ed25519 signature over a checkpoint's body."""
        return self._log_key.sign(body)

    @property
    def log_vkey(self) -> str:
        """The log's verifier key as C2SP signed-note writes it: name+hash+key."""
        key = ED25519_NOTE_TYPE + self._log_key.public_key().public_bytes_raw()
        name = self.origin.encode()
        key_hash = hashlib.sha256(name + b"\n" + key).digest()[:4].hex()
        return f"{self.origin}+{key_hash}+{base64.b64encode(key).decode()}"

    def _leaf(self, account_index: int, sender_path: str) -> _Leaf:
        known = self._nodes.get((account_index, sender_path))
        if known is not None:
            return known
        branch, index = hd.parse_sender_path(sender_path)
        node = self._root.child(hd.HARDENED + account_index).child(branch).child(index)
        public = node.public()
        made = _Leaf(PrivateKey(node.secret), public.point, public.address())
        if len(self._nodes) >= PATHS_MAX:
            self._nodes.clear()
        self._nodes[(account_index, sender_path)] = made
        return made


def new_secrets(authority: bytes, origin: str) -> bytes:
    """A new seed and log key with the authority's public key, as bytes to be sealed.

    The authority lies under the seal so that a changed store cannot bring in another one.
    """
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "entropy": secrets.token_bytes(32).hex(),
        "log_key": Ed25519PrivateKey.generate().private_bytes_raw().hex(),
        "authority": authority.hex(),
        "origin": origin,
    }
    return json.dumps(body, sort_keys=True).encode()

"""BIP-32 and BIP-44: keys from a seed, and addresses from an xpub alone.

Account m/44'/60'/t' belongs to one tenant. Branch 0: deposit addresses for native coins, branch 1:
for tokens, branch 2: operational wallets. Only the signer holds a `PrivateNode`; the API derives
addresses from the account's xpub.
"""

import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache

from coincurve import PrivateKey, PublicKey

from chains.evm.address import address_from_public_key
from custody.keys import base58
from custody.keys.mnemonic import mnemonic_new, seed_from_mnemonic

__all__ = [
    "BRANCH_NATIVE",
    "BRANCH_OPERATIONS",
    "BRANCH_TOKEN",
    "HARDENED",
    "PrivateNode",
    "PublicNode",
    "account_path",
    "decode_xpub",
    "derive_public",
    "encode_xprv",
    "encode_xpub",
    "master",
    "mnemonic_new",
    "parse_sender_path",
    "seed_from_mnemonic",
]

HARDENED = 2**31
BRANCH_NATIVE, BRANCH_TOKEN, BRANCH_OPERATIONS = 0, 1, 2
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
XPUB_VERSION, XPRV_VERSION = bytes.fromhex("0488b21e"), bytes.fromhex("0488ade4")

_STEP = re.compile(r"(0|[1-9][0-9]{0,9})(['hH]?)")
_SENDER = re.compile(r"([0-2])/(0|[1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class PublicNode:
    """A public key that derives children. `point` is the 33-byte compressed key."""

    point: bytes
    chain_code: bytes
    depth: int = 0
    parent: bytes = b"\0\0\0\0"
    number: int = 0

    def child(self, index: int) -> "PublicNode":
        """CKDpub. Raises ValueError for a hardened index: that needs the private key."""
        tweak, chain_code = self._step(index)
        point = PublicKey(self.point).add(tweak).format()
        return PublicNode(point, chain_code, self.depth + 1, fingerprint(self.point), index)

    def child_address(self, index: int) -> str:
        """The address of `child(index)`, without what only an extended key needs of it."""
        tweak, _ = self._step(index)
        return address_from_public_key(PublicKey(self.point).add(tweak).format(compressed=False))

    def address(self) -> str:
        """The EIP-55 address of this key."""
        return address_from_public_key(PublicKey(self.point).format(compressed=False))

    def _step(self, index: int) -> tuple[bytes, bytes]:
        """What is added to this point, and the child's chain code."""
        if not 0 <= index < HARDENED:
            raise ValueError("index: a public key derives 0 to 2^31-1 only")
        return _split(self.chain_code, self.point + index.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class PrivateNode:
    """A private key that derives children. It never shows itself."""

    secret: bytes = field(repr=False)
    chain_code: bytes = field(repr=False)
    depth: int = 0
    parent: bytes = b"\0\0\0\0"
    number: int = 0

    def child(self, index: int) -> "PrivateNode":
        """CKDpriv; `index` from `HARDENED` up is hardened. Raises ValueError out of range."""
        if not 0 <= index < 2 * HARDENED or self.depth > 254:
            raise ValueError("index: must be 0 to 2^32-1, depth at most 255")
        point = self.public().point
        head = b"\0" + self.secret if index >= HARDENED else point
        tweak, chain_code = _split(self.chain_code, head + index.to_bytes(4, "big"))
        secret = PrivateKey(self.secret).add(tweak).secret
        return PrivateNode(secret, chain_code, self.depth + 1, fingerprint(point), index)

    def derive(self, path: str) -> "PrivateNode":
        """Walk `m/44'/60'/0'` or, without the m, below this node. Raises ValueError."""
        node = self
        for step in path.removeprefix("m").strip("/").split("/"):
            if step:
                node = node.child(_step(step))
        return node

    def public(self) -> PublicNode:
        """The public half: same place in the tree, nothing to sign with."""
        point = PrivateKey(self.secret).public_key.format()
        return PublicNode(point, self.chain_code, self.depth, self.parent, self.number)


def master(seed: bytes) -> PrivateNode:
    """The root of the tree. Raises ValueError unless the seed has 16 to 64 bytes."""
    if not 16 <= len(seed) <= 64:
        raise ValueError("seed: must have 16 to 64 bytes")
    secret, chain_code = _split(b"Bitcoin seed", seed)
    return PrivateNode(secret, chain_code)


def account_path(account_index: int) -> str:
    """The hardened account of one tenant. Raises ValueError out of range."""
    if not 0 <= account_index < HARDENED:
        raise ValueError("account: must be 0 to 2^31-1")
    return f"m/44'/60'/{account_index}'"


def parse_sender_path(path: str) -> tuple[int, int]:
    """Branch and index of an intent's `branch/index`. Raises ValueError on any other text."""
    match = _SENDER.fullmatch(path)
    if match is None or int(match[2]) >= HARDENED:
        raise ValueError("sender_path: must be branch/index with branch 0 to 2")
    return int(match[1]), int(match[2])


def derive_public(xpub: str, branch: int, index: int) -> str:
    """The address at `branch/index` below an account's xpub. Raises ValueError."""
    return _branch(xpub, branch).child_address(index)


def encode_xpub(node: PublicNode) -> str:
    return base58.encode_check(_extended(XPUB_VERSION, node, node.point))


def encode_xprv(node: PrivateNode) -> str:
    """For vectors and recovery only; the service never writes one."""
    return base58.encode_check(_extended(XPRV_VERSION, node, b"\0" + node.secret))


def decode_xpub(text: str) -> PublicNode:
    """Strict inverse of `encode_xpub`. Raises ValueError on everything malformed."""
    data = base58.decode_check(text)
    if len(data) != 78 or data[:4] != XPUB_VERSION:
        raise ValueError("xpub: not an extended public key of mainnet form")
    depth, parent, number = data[4], data[5:9], int.from_bytes(data[9:13], "big")
    if depth == 0 and (parent != b"\0\0\0\0" or number != 0):
        raise ValueError("xpub: a root has neither parent nor number")
    try:
        point = PublicKey(data[45:]).format()
    except ValueError as error:
        raise ValueError("xpub: not a point of the curve") from error
    if point != data[45:]:
        raise ValueError("xpub: not a compressed point")
    return PublicNode(point, data[13:45], depth, parent, number)


def fingerprint(point: bytes) -> bytes:
    """The first four bytes of HASH160 of a compressed key."""
    return base58.hash160(point)[:4]


@lru_cache(maxsize=4096)
def _branch(xpub: str, branch: int) -> PublicNode:
    return decode_xpub(xpub).child(branch)


def _step(text: str) -> int:
    match = _STEP.fullmatch(text)
    if match is None or int(match[1]) >= HARDENED:
        raise ValueError(f"path: {text!r} is not a step")
    return int(match[1]) + (HARDENED if match[2] else 0)


def _split(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """HMAC-SHA512 in two halves; the first must be a valid scalar (2^-127 that it is not)."""
    digest = hmac.digest(key, data, "sha512")
    if not 0 < int.from_bytes(digest[:32], "big") < CURVE_ORDER:
        raise ValueError("this index has no key; use the next one")
    return digest[:32], digest[32:]


def _extended(version: bytes, node: PublicNode | PrivateNode, key: bytes) -> bytes:
    place = bytes([node.depth]) + node.parent + node.number.to_bytes(4, "big")
    return version + place + node.chain_code + key

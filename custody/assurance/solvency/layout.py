"""The bytes that are hashed: leaves, nodes, salts, the challenge (SOLVENCY.md says them in words).

SHA-256 throughout, a domain byte in front of everything, numbers big-endian. A node's hash is over
both children's sums, so that no sum can be moved from one child to the other.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from custody.core import canonical
from custody.core.ids import format_id

LEAF, NODE, CHALLENGE, CONTEXT, ID, SALT, PADDING, COMMITMENT = (
    bytes([tag]) for tag in range(0x10, 0x18)
)
HASH_BYTES, SUM_BYTES = 32, 16
SUM_MAX = 2**128 - 1
ASSETS_MAX = 64
WINDOW_MAX = 256
"""Blocks from which the challenge picks one: all their headers are in the report."""
DEPTH_MIN, DEPTH_MAX = 10, 40
"""The least depth keeps a small installation from telling how many customers it has."""
RAY = 10**27
CONTEXT_SCHEMA = "moorage.solvency.context/1"
_SHARE = re.compile("share:[0-9a-f]{32}")


class OutOfRange(ValueError):
    """A balance or a sum that is negative or does not fit 128 bits."""


@dataclass(frozen=True, slots=True)
class Node:
    """A leaf or an inner node: its hash, and what is owed below it by asset."""

    hash: bytes
    sums: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharePriceLine:
    """What one base unit of a pool's share is worth, times 10^27, at a block."""

    share: str
    asset: str
    price_ray: int
    block_number: int

    def to_json(self) -> dict[str, str]:
        return {
            "share": self.share,
            "asset": self.asset,
            "price_ray": str(self.price_ray),
            "block_number": str(self.block_number),
        }


@dataclass(frozen=True, slots=True)
class Context:
    """What every leaf of one epoch is bound to."""

    entity: str
    epoch: int
    challenge: bytes
    assets: tuple[str, ...]
    prices: tuple[SharePriceLine, ...]

    def __post_init__(self) -> None:
        """Raises ValueError unless assets ascend and every share has one price."""
        if not 0 < len(self.assets) <= ASSETS_MAX or list(self.assets) != sorted(set(self.assets)):
            raise ValueError(f"assets: must be 1 to {ASSETS_MAX}, ascending, each once")
        shares = tuple(a for a in self.assets if is_share(a))
        if tuple(p.share for p in self.prices) != shares:
            raise ValueError("prices: must be one for each share, in the order of the assets")
        for price in self.prices:
            if price.asset not in self.assets or is_share(price.asset) or price.price_ray < 0:
                raise ValueError(f"prices: {price.share} must be worth an asset of the context")

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": CONTEXT_SCHEMA,
            "entity": self.entity,
            "epoch": str(self.epoch),
            "challenge": "0x" + self.challenge.hex(),
            "assets": list(self.assets),
            "prices": [p.to_json() for p in self.prices],
        }

    @property
    def hash(self) -> bytes:
        return _sha256(CONTEXT + canonical.encode(self.to_json()))

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Context":
        """Raises ValueError or KeyError on anything that does not print as the same object."""
        prices = tuple(
            SharePriceLine(p["share"], p["asset"], int(p["price_ray"]), int(p["block_number"]))
            for p in body["prices"]
        )
        challenge = bytes.fromhex(body["challenge"].removeprefix("0x"))
        made = Context(body["entity"], int(body["epoch"]), challenge, tuple(body["assets"]), prices)
        if made.to_json() != body:
            raise ValueError("context: is not in canonical form")
        return made


def is_share(asset: str) -> bool:
    return _SHARE.fullmatch(asset) is not None


def commitment(secret: bytes) -> bytes:
    return _sha256(COMMITMENT + secret)


def challenge_of(
    block_hash: bytes, chain_id: int, block_number: int, epoch: int, entity: str
) -> bytes:
    numbers = b"".join(n.to_bytes(8, "big") for n in (chain_id, block_number, epoch))
    return _sha256(CHALLENGE + block_hash + numbers + entity.encode("ascii"))


def pinned_number(challenge: bytes, block_number: int, window: int) -> int:
    """The block at which everything is read, on the chain of the challenge."""
    return block_number + 1 + int.from_bytes(challenge[:8], "big") % window


def salt_of(secret: bytes, context_hash: bytes, customer: UUID) -> bytes:
    """Of one customer in one epoch. It tells nothing of others' or of other epochs' salts."""
    return hmac.digest(secret, SALT + context_hash + customer.bytes, "sha256")


def id_of(context_hash: bytes, salt: bytes, customer: UUID) -> bytes:
    """The leaf's id, which its owner can compute from the own customer id and the salt."""
    return _sha256(ID + context_hash + salt + format_id("customer", customer).encode())


def padding_id(secret: bytes, context_hash: bytes, number: int) -> bytes:
    return hmac.digest(secret, PADDING + context_hash + number.to_bytes(8, "big"), "sha256")


def depth_for(customers: int) -> int:
    """Of the smallest perfect tree that has a place for each. Raises ValueError over the limit."""
    depth = max(DEPTH_MIN, (customers - 1).bit_length())
    if depth > DEPTH_MAX:
        raise ValueError(f"{customers} leaves do not fit a tree of depth {DEPTH_MAX}")
    return depth


def sum_bytes(sums: Sequence[int]) -> bytes:
    """Raises OutOfRange for a sum that is negative or over 2^128-1."""
    for value in sums:
        if not 0 <= value <= SUM_MAX:
            raise OutOfRange(f"{value} is not from 0 to 2^128-1")
    return b"".join(value.to_bytes(SUM_BYTES, "big") for value in sums)


def leaf(id_: bytes, balances: Sequence[int]) -> Node:
    """Raises OutOfRange."""
    return Node(_sha256(LEAF + id_ + sum_bytes(balances)), tuple(balances))


def parent(left: Node, right: Node) -> Node:
    """Raises OutOfRange where a sum does not fit."""
    sums = tuple(a + b for a, b in zip(left.sums, right.sums, strict=True))
    sum_bytes(sums)
    body = left.hash + right.hash + sum_bytes(left.sums) + sum_bytes(right.sums)
    return Node(_sha256(NODE + body), sums)


def owed_up(context: Context, sums: Sequence[int]) -> dict[str, int]:
    """Base units owed by asset; shares are valued at their price, rounded up against us."""
    by_asset = dict(zip(context.assets, sums, strict=True))
    owed = {a: v for a, v in by_asset.items() if not is_share(a)}
    for price in context.prices:
        owed[price.asset] += -(-by_asset[price.share] * price.price_ray // RAY)
    return owed


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

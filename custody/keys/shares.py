"""The secrets as Shamir shares, k of n, each for another person's safe.

A share has all that a restore needs but the other k - 1: the blocks of 16 bytes that Shamir's
scheme (How to share a secret, CACM 22/11, 1979) works on, and the public half of the secrets. A
digest of the secrets is shared like they are, so that a wrong share is found out when k come
together, while fewer than k tell nothing: there is a set of missing shares for every secret.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from Crypto.Protocol.SecretSharing import Shamir

from custody.core import canonical
from custody.keys.keyring import SCHEMA as SECRETS_SCHEMA
from custody.keys.people import write_private

SCHEMA = "moorage.share/1"
BLOCK_BYTES = 16
DIGEST_BYTES = BLOCK_BYTES
ENTROPY_BYTES = LOG_KEY_BYTES = 32
SHARES_MAX = 16
_FIELDS = {"schema", "set", "threshold", "index", "authority", "origin", "blocks", "check"}


class SharesRefused(Exception):
    """Too few, of several sets, damaged, or wrong. Says which rule, never what is in a share."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of a set. `set_id` is random, `index` counts from 1."""

    set_id: str
    threshold: int
    index: int
    authority: str
    origin: str
    blocks: tuple[bytes, ...] = field(repr=False)

    def write(self, path: Path) -> None:
        """A new file that only its owner reads. Raises FileExistsError."""
        body = self._body()
        write_private(path, json.dumps({**body, "check": _check(body)}, indent=1) + "\n")

    @staticmethod
    def read(path: Path) -> "Share":
        """Raises SharesRefused for a file that is not a share as it was written."""
        try:
            body = json.loads(path.read_text())
            check = body["check"]
            share = Share(
                body["set"],
                body["threshold"],
                body["index"],
                body["authority"],
                body["origin"],
                tuple(bytes.fromhex(block) for block in body["blocks"]),
            )
        except (ValueError, KeyError, TypeError):
            raise SharesRefused(f"{path.name}: not a share") from None
        if set(body) != _FIELDS or body["schema"] != SCHEMA or check != _check(share._body()):
            raise SharesRefused(
                f"{path.name}: the check does not match; it was changed or mistyped"
            )
        return share

    def _body(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "set": self.set_id,
            "threshold": self.threshold,
            "index": self.index,
            "authority": self.authority,
            "origin": self.origin,
            "blocks": [block.hex() for block in self.blocks],
        }


def split(plain: bytes, threshold: int, count: int) -> list[Share]:
    """`count` shares, any `threshold` of which restore `plain` (of `keyring.new_secrets`).

    Raises ValueError unless 2 <= threshold <= count <= SHARES_MAX.
    """
    if not 2 <= threshold <= count <= SHARES_MAX:
        raise ValueError(f"threshold, count: must be 2 <= threshold <= count <= {SHARES_MAX}")
    body = json.loads(plain)
    secret = bytes.fromhex(body["entropy"]) + bytes.fromhex(body["log_key"])
    if len(secret) != ENTROPY_BYTES + LOG_KEY_BYTES:
        raise ValueError("secrets: not of the expected form")
    blocks = _blocks(secret + _digest(secret))
    columns = [Shamir.split(threshold, count, block, ssss=False) for block in blocks]
    set_id = secrets.token_hex(8)
    return [
        Share(
            set_id,
            threshold,
            index + 1,
            body["authority"],
            body["origin"],
            tuple(column[index][1] for column in columns),
        )
        for index in range(count)
    ]


def combine(shares: Sequence[Share]) -> bytes:
    """The secrets, byte for byte. Raises SharesRefused.

    Checked in this order: at least one share, one set, distinct, enough, right.
    """
    if not shares:
        raise SharesRefused("no shares were given")
    first = shares[0]
    if any(_set_of(share) != _set_of(first) for share in shares):
        raise SharesRefused("the shares are of different sets")
    if len({share.index for share in shares}) != len(shares):
        raise SharesRefused("a share was given twice")
    if len(shares) < first.threshold:
        raise SharesRefused(f"{len(shares)} shares; {first.threshold} are needed")
    secret = _secret(shares[: first.threshold])
    entropy, log_key = secret[:ENTROPY_BYTES], secret[ENTROPY_BYTES:]
    body = {
        "schema": SECRETS_SCHEMA,
        "entropy": entropy.hex(),
        "log_key": log_key.hex(),
        "authority": first.authority,
        "origin": first.origin,
    }
    return json.dumps(body, sort_keys=True).encode()


def _secret(shares: Sequence[Share]) -> bytes:
    columns = zip(*(share.blocks for share in shares), strict=True)
    whole = b"".join(
        Shamir.combine(
            [(share.index, block) for share, block in zip(shares, column, strict=True)], ssss=False
        )
        for column in columns
    )
    secret, digest = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
    if digest != _digest(secret):
        raise SharesRefused("the shares do not fit together; one of them is wrong")
    return secret


def _set_of(share: Share) -> tuple[object, ...]:
    return (share.set_id, share.threshold, share.authority, share.origin, len(share.blocks))


def _blocks(data: bytes) -> list[bytes]:
    return [data[i : i + BLOCK_BYTES] for i in range(0, len(data), BLOCK_BYTES)]


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(SCHEMA.encode() + secret).digest()[:DIGEST_BYTES]


def _check(body: dict[str, Any]) -> str:
    """Against typing errors: of the share alone, so it tells nothing of the others."""
    return hashlib.sha256(canonical.encode(body)).hexdigest()[:16]

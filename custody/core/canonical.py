"""RFC 8785 canonical JSON by construction.

Only what canonicalises without judgement is accepted: objects with ASCII keys, lists, strings,
booleans, null and integers within ±(2^53-1). Floats are refused; amounts are strings.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

SAFE_INTEGER = 2**53 - 1

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


def check(value: object, where: str = "$") -> None:
    """Raise ValueError, naming the place, unless `value` has one canonical form by construction."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError(f"{where}: lone surrogate")
    elif isinstance(value, int):
        if abs(value) > SAFE_INTEGER:
            raise ValueError(f"{where}: integer beyond 2^53-1, write it as a string")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError(f"{where}: key {key!r} is not ASCII text")
            check(item, f"{where}.{key}")
    else:
        raise ValueError(f"{where}: {type(value).__name__} has no canonical form here")


def encode(value: Json) -> bytes:
    """Canonical bytes. ASCII keys sort alike by code point and by UTF-16 (RFC 8785 3.2.3)."""
    check(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


def sha256_hex(value: Json) -> str:
    """SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(encode(value)).hexdigest()

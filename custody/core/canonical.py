"""RFC 8785 canonical JSON by construction.

Only what canonicalises without judgement is accepted: objects with ASCII keys, lists, strings,
booleans, null and integers within ±(2^53-1). Floats are refused; amounts are strings.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

SAFE_INTEGER = 2**53 - 1
DEPTH_MAX = 64
"""Of nested lists and objects: what `custody/audit/verify.py` reads. With one that is deeper, a log
would have an entry that no verifier takes, for ever."""

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


def check(value: object, where: str = "$", depth: int = 0) -> None:
    """Raise ValueError, naming the place, unless `value` has one canonical form by construction."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ValueError(f"{where}: lone surrogate")
    elif isinstance(value, int):
        if abs(value) > SAFE_INTEGER:
            raise ValueError(f"{where}: integer beyond 2^53-1, write it as a string")
    elif isinstance(value, (list, tuple, dict)):
        if depth == DEPTH_MAX:
            raise ValueError(f"{where[:80]}: nested deeper than {DEPTH_MAX}")
        _check_inside(value, where, depth + 1)
    else:
        raise ValueError(f"{where}: {type(value).__name__} has no canonical form here")


def _check_inside(
    value: Sequence[object] | Mapping[object, object], where: str, depth: int
) -> None:
    if not isinstance(value, Mapping):
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]", depth)
        return
    for key, item in value.items():
        if not isinstance(key, str) or not key.isascii():
            raise ValueError(f"{where}: key {key!r} is not ASCII text")
        check(item, f"{where}.{key}", depth)


def encode(value: Json) -> bytes:
    """Canonical bytes. ASCII keys sort alike by code point and by UTF-16 (RFC 8785 3.2.3)."""
    check(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


def sha256_hex(value: Json) -> str:
    """SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(encode(value)).hexdigest()

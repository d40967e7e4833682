"""Reading a document strictly: every refusal names the field and the rule that it breaks."""

import re
from typing import Any

from custody.core.errors import InvalidInput

LIST_MAX = 1000


def require(holds: bool, field: str, rule: str) -> None:
    """Raises InvalidInput unless the condition holds."""
    if not holds:
        raise InvalidInput(field, rule)


def fields(
    value: object, field: str, names: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """An object of exactly these names, `optional` ones or not. The outermost one's fields are
    named without it."""
    if not isinstance(value, dict):
        raise InvalidInput(field, "must be an object")
    prefix = "" if field == "policy" else f"{field}."
    for name in sorted(names - set(value)):
        raise InvalidInput(f"{prefix}{name}", "is missing")
    for name in sorted(set(map(str, value)) - names - optional):
        raise InvalidInput(f"{prefix}{name}", "is not a field here")
    return value


def items(value: object, field: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > LIST_MAX:
        raise InvalidInput(field, f"must be a list of at most {LIST_MAX}")
    return value


def text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a string")
    return value


def integer(value: object, field: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(field, f"must be a whole number from {low} to {high}")
    return value


def hex_bytes(value: object, field: str, length: int) -> bytes:
    """Bytes from lower-case hex of an exact length. Raises InvalidInput."""
    if not re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text(value, field)):
        raise InvalidInput(field, f"must be {2 * length} lowercase hex digits")
    return bytes.fromhex(text(value, field))

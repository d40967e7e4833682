"""Strict reading of a policy document: each helper returns the value or names field and rule."""

import re
from collections.abc import Mapping
from typing import Any

from custody.core.errors import InvalidInput
from custody.core.money import parse_amount
from router.tiers import WAD

RAY_PER_WAD = 10**9
_SHARE = re.compile(r"0(\.[0-9]{1,18})?|1(\.0{1,18})?")
_RATE = re.compile(r"(0|[1-9][0-9]?)(\.[0-9]{1,18})?")
_VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Reader:
    """Reads the parts of one document of one schema, which its messages name."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def object(
        self, value: object, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> Mapping[str, Any]:
        """An object with all of `required` and nothing beyond `optional`."""
        if not isinstance(value, dict):
            raise InvalidInput(where, "must be an object")
        prefix = "" if where == "policy" else where + "."
        for name in required:
            if name not in value:
                raise InvalidInput(prefix + name, "is missing")
        extra = sorted(str(k) for k in value if k not in required + optional)
        if extra:
            raise InvalidInput(prefix + extra[0], f"is not a field of {self.schema}")
        return value


def a_list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InvalidInput(where, "must be a list with at least one item")
    return value


def a_list_or_empty(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(where, "must be a list")
    return value


def text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isascii():
        raise InvalidInput(where, "must be ASCII text of 1 to 128 characters")
    return value


def one_of(value: object, where: str, names: tuple[str, ...]) -> str:
    found = text(value, where)
    if found not in names:
        raise InvalidInput(where, f"must be {', '.join(names[:-1])} or {names[-1]}")
    return found


def venue_id(value: object, where: str) -> str:
    if not isinstance(value, str) or not _VENUE.fullmatch(value):
        raise InvalidInput(where, "must be a venue id: lower case letters, digits and hyphens")
    return value


def integer(value: object, where: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise InvalidInput(where, f"must be a whole number from {least} to {most}")
    return value


def truth(value: object, where: str) -> bool:
    if type(value) is not bool:
        raise InvalidInput(where, "must be true or false")
    return value


def share(value: object, where: str) -> int:
    """A share in WAD from its decimal text."""
    if not isinstance(value, str) or not _SHARE.fullmatch(value):
        raise InvalidInput(where, "must be a decimal string from 0 to 1, at most 18 places")
    return _wad(value)


def rate(value: object, where: str) -> int:
    """A yearly rate in ray from its decimal text: "0.25" is 25 %."""
    if not isinstance(value, str) or not _RATE.fullmatch(value):
        raise InvalidInput(where, "must be a decimal string from 0 to 99, at most 18 places")
    return _wad(value) * RAY_PER_WAD


def amount(value: object, where: str, least: int = 0) -> int:
    """Base units from their decimal digits."""
    return int(parse_amount(value, where, minimum=least))


def _wad(value: str) -> int:
    whole, _, places = value.partition(".")
    return int(whole) * WAD + int(places.ljust(18, "0"))

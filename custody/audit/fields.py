"""The types a field of an audit event may have, each with the rule it states when it refuses."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from custody.core.ids import PREFIXES
from custody.core.money import AMOUNT_MAX

TEXT_MAX = 1024


@dataclass(frozen=True, slots=True)
class FieldType:
    """`accepts` decides without looking anything up; `rule` is the sentence of the refusal."""

    rule: str
    accepts: Callable[[object], bool]


def _pattern(pattern: str, rule: str) -> FieldType:
    matches = re.compile(pattern, re.ASCII).fullmatch
    return FieldType(rule, lambda v: isinstance(v, str) and matches(v) is not None)


def _is_amount(value: object, signed: bool) -> bool:
    if not isinstance(value, str) or len(value) > 79:
        return False
    digits = value.removeprefix("-") if signed else value
    if not re.fullmatch("0|[1-9][0-9]*", digits, re.ASCII) or value == "-0":
        return False
    return int(digits) <= AMOUNT_MAX


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_MAX


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(_is_text(v) for v in value)


def _is_commitments(value: object) -> bool:
    """Anything else could be the data itself, which nobody could take out again."""
    return isinstance(value, dict) and all(
        isinstance(v, str) and re.fullmatch("[0-9a-f]{64}", v, re.ASCII) for v in value.values()
    )


_TYPES = {
    "amount": FieldType(
        "must be base units as a decimal string, 0 to 2^256-1", lambda v: _is_amount(v, False)
    ),
    "signed": FieldType(
        "must be base units as a decimal string, a minus allowed", lambda v: _is_amount(v, True)
    ),
    "number": _pattern("0|[1-9][0-9]{0,19}", "must be a whole number as a decimal string"),
    "index": _pattern(
        "-[12]|0|[1-9][0-9]{0,9}",
        "must be a log index as a decimal string, -1 for the transaction, -2 for a balance",
    ),
    "bool": FieldType("must be true or false", lambda v: isinstance(v, bool)),
    "text": FieldType(f"must be text of at most {TEXT_MAX} characters", _is_text),
    "texts": FieldType("must be a list of texts", _is_texts),
    "object": FieldType("must be an object", lambda v: isinstance(v, dict)),
    "commitments": FieldType(
        "must be an object of commitments, 64 lowercase hex digits each", _is_commitments
    ),
    "list": FieldType("must be a list", lambda v: isinstance(v, (list, tuple))),
    "hash": _pattern("0x[0-9a-f]{64}", "must be 0x and 64 lowercase hex digits"),
    "digest": _pattern("sha256:[0-9a-f]{64}", "must be sha256: and 64 lowercase hex digits"),
    "key": _pattern("[0-9a-f]{64}", "must be an Ed25519 public key, 64 lowercase hex digits"),
    "signature": _pattern("[0-9a-f]{128}", "must be an Ed25519 signature, 128 lowercase hex"),
    "address": _pattern("0x[0-9a-fA-F]{40}", "must be an address, 0x and 40 hex digits"),
    "asset": _pattern(
        r"eip155:[1-9][0-9]*/(erc20:0x[0-9a-f]{40}|slip44:60)|share:[0-9a-f]{32}",
        "must be a CAIP-19 asset id or share:<pool>",
    ),
    "time": _pattern(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "must be UTC with microseconds and a Z"
    ),
}


def named(name: str) -> FieldType:
    """The type called `name`; `id.<kind>` is a printed id of that kind. Raises KeyError."""
    if name.startswith("id."):
        prefix = PREFIXES[name.removeprefix("id.")]
        return _pattern(f"{prefix}_[0-9a-f]{{32}}", f"must be an id like {prefix}_…")
    return _TYPES[name]

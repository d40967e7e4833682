"""A pool's product terms: schema "moorage.terms/1", strictly validated. Pure.

The hash of the document is what holders consent to. Every missing, extra or ill-typed field is an
InvalidInput that names the field and the rule.

`flexible`: leave at any time, after the notice. `fixed`: until `maturity` nobody leaves, or with an
early fee of the amount. `capped`: the pool takes no more than `size_max`, or pays its holders no
more than `rate_max_ray`, or both.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.facts import DAY_S
from custody.core.money import parse_amount
from router.curves import BPS, RAY
from router.fees import MANAGEMENT_BPS_MAX, SPREAD_BPS_MAX, FeeTerms

SCHEMA = "moorage.terms/1"
RATE_RAY_MAX = 10 * RAY
STAY_S_MAX = 10 * 365 * DAY_S
NOTICE_S_MAX = 365 * DAY_S
EARLY_FEE_BPS_MAX = 2_000
TEXT_MAX = 16_384
_REQUIRED = ("schema", "pool", "tier", "version", "previous", "kind", "text", "spread_bps")
_RATES = ("hurdle_ray", "management_bps", "notice_s", "minimum_stay_s")
_OF_KIND = {
    "flexible": (),
    "fixed": ("maturity", "early_fee_bps"),
    "capped": ("size_max", "rate_max_ray"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class Kind(StrEnum):
    FLEXIBLE = "flexible"
    FIXED = "fixed"
    CAPPED = "capped"


@dataclass(frozen=True, slots=True)
class Terms:
    """`early_fee_bps` None: no exit before maturity. Times are seconds, `size_max` base units."""

    kind: Kind
    text: str
    fees: FeeTerms
    notice_s: int = 0
    minimum_stay_s: int = 0
    maturity: datetime | None = None
    early_fee_bps: int | None = None
    size_max: int | None = None
    pool: str = ""
    tier: str = ""
    version: int = 0
    previous: str | None = None
    hash: str = ""
    document: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def matured(self, at: datetime) -> bool:
        return self.maturity is None or at >= self.maturity

    def exit_fee_bps(self, at: datetime) -> int | None:
        """What leaving at this time costs; None: nobody may."""
        return 0 if self.matured(at) else self.early_fee_bps


def plain(text: str, spread_bps: int) -> Terms:
    """The terms of a pool that has only a text and a spread: flexible, and nothing else."""
    return Terms(Kind.FLEXIBLE, text, FeeTerms(spread_bps), hash=text_hash(text))


def text_hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse(document: object) -> Terms:
    """The terms, or InvalidInput at the first field that breaks a rule."""
    body = _object(document)
    kind = Kind(body["kind"])
    fees = FeeTerms(
        _integer(body, "spread_bps", SPREAD_BPS_MAX),
        _rate(body, "hurdle_ray") or 0,
        _integer(body, "management_bps", MANAGEMENT_BPS_MAX),
        _rate(body, "rate_max_ray"),
    )
    found = Terms(
        kind=kind,
        text=_text(body["text"]),
        fees=fees,
        notice_s=_integer(body, "notice_s", NOTICE_S_MAX),
        minimum_stay_s=_integer(body, "minimum_stay_s", STAY_S_MAX),
        maturity=_maturity(body) if kind is Kind.FIXED else None,
        early_fee_bps=_early_fee(body),
        size_max=_size(body),
        pool=_short(body, "pool"),
        tier=_short(body, "tier"),
        version=_version(body),
        previous=_previous(body),
        hash="sha256:" + canonical.sha256_hex(dict(body)),
        document=body,
    )
    if kind is Kind.CAPPED and found.size_max is None and fees.rate_max_ray is None:
        raise InvalidInput("size_max", "capped terms need size_max or rate_max_ray")
    return found


def worse(old: Terms, new: Terms) -> str | None:
    """The first field in which `new` is worse for who already holds shares; None: in none.

    The text must stay: nobody can say by rule whether other words are worse. `size_max` is no
    matter of theirs.
    """
    lines: tuple[tuple[str, bool], ...] = (
        ("kind", new.kind is not old.kind),
        ("text", new.text != old.text),
        ("spread_bps", new.fees.spread_bps > old.fees.spread_bps),
        ("hurdle_ray", new.fees.hurdle_ray < old.fees.hurdle_ray),
        ("management_bps", new.fees.management_bps > old.fees.management_bps),
        ("rate_max_ray", _lower(new.fees.rate_max_ray, old.fees.rate_max_ray)),
        ("notice_s", new.notice_s > old.notice_s),
        ("minimum_stay_s", new.minimum_stay_s > old.minimum_stay_s),
        ("maturity", _later(old.maturity, new.maturity)),
        ("early_fee_bps", _dearer(old.early_fee_bps, new.early_fee_bps)),
    )
    return next((name for name, is_worse in lines if is_worse), None)


def fee_down(amount: int, fee_bps: int) -> int:
    """An exit's fee, rounded down: in favour of who leaves, and never more than is stated."""
    return amount * fee_bps // BPS


def _lower(new: int | None, old: int | None) -> bool:
    """None is no cap: the highest."""
    return new is not None and (old is None or new < old)


def _later(old: datetime | None, new: datetime | None) -> bool:
    return new is not None and (old is None or new > old)


def _dearer(old: int | None, new: int | None) -> bool:
    """None is no exit at all: the dearest."""
    return old is not None and (new is None or new > old)


def _object(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInput("terms", "must be an object")
    for name in _REQUIRED:
        if name not in document:
            raise InvalidInput(name, "is missing")
    if document["schema"] != SCHEMA:
        raise InvalidInput("schema", f"must be {SCHEMA}")
    kind = document["kind"]
    if not isinstance(kind, str) or kind not in _OF_KIND:
        raise InvalidInput("kind", "must be flexible, fixed or capped")
    known = _REQUIRED + _RATES + _OF_KIND[kind]
    extra = sorted(str(name) for name in document if name not in known)
    if extra:
        raise InvalidInput(extra[0], f"is not a field of {kind} terms")
    return document


def _integer(body: Mapping[str, Any], name: str, most: int, least: int = 0) -> int:
    value = body.get(name, 0)
    if type(value) is not int or not least <= value <= most:
        raise InvalidInput(name, f"must be a whole number from {least} to {most}")
    return value


def _rate(body: Mapping[str, Any], name: str) -> int | None:
    if body.get(name) is None:
        return None
    rate = parse_amount(body[name], name, minimum=0)
    if rate > RATE_RAY_MAX:
        raise InvalidInput(name, "must be at most 1000 % a year, in ray")
    return rate


def _size(body: Mapping[str, Any]) -> int | None:
    return None if body.get("size_max") is None else parse_amount(body["size_max"], "size_max")


def _early_fee(body: Mapping[str, Any]) -> int | None:
    if body.get("early_fee_bps") is None:
        return None
    return _integer(body, "early_fee_bps", EARLY_FEE_BPS_MAX)


def _maturity(body: Mapping[str, Any]) -> datetime:
    rule = "must be a time like 2026-12-31T00:00:00Z"
    value = body.get("maturity")
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise InvalidInput("maturity", rule)
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("maturity", rule) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_MAX:
        raise InvalidInput("text", f"must be text of 1 to {TEXT_MAX} characters")
    return value


def _short(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isascii():
        raise InvalidInput(name, "must be ASCII text of 1 to 64 characters")
    return value


def _version(body: Mapping[str, Any]) -> int:
    return _integer(body, "version", 2**31 - 1, 1)


def _previous(body: Mapping[str, Any]) -> str | None:
    previous = body["previous"]
    if (previous is None) != (body["version"] == 1):
        raise InvalidInput("previous", "is null for version 1, and only there")
    if previous is not None and not (isinstance(previous, str) and _HASH.fullmatch(previous)):
        raise InvalidInput("previous", "must be sha256: and 64 hex digits")
    return previous

"""Reference prices: what a base unit is worth, agreed by two sources or not at all.

A price is an integer and a scale, never a float: `value / 10**scale` of the reference currency for
ONE BASE UNIT of the asset (a wei, not an ether), so that nobody has to look up decimals to use it.
Only policy compares with them; no posting is ever made from a price.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.money import AssetId, parse_amount

SCALE_MAX = 77
CURRENCY = re.compile(r"[A-Z]{3,8}")
MICRO = 10**6
"""Values in policies are counted in millionths of the reference currency."""
BPS = 10_000
_SOURCE = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,127}")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class PriceFault(StrEnum):
    """Why there is no price, in the order in which it is looked for."""

    MISSING = "missing"  # a source has none
    OTHER = "other"  # the two are not about the same asset and currency
    SAME_SOURCE = "same_source"  # one source asked twice is one source
    FUTURE = "future"  # as of a time that has not been
    STALE = "stale"  # older than the bound
    DISAGREE = "disagree"  # further apart than the bound


@dataclass(frozen=True, slots=True)
class Price:
    """What one source said. `block` is where it was read on chain; None for a source off chain."""

    asset_id: AssetId
    currency: str
    value: int
    scale: int
    source: str
    as_of: datetime
    block: int | None

    def __post_init__(self) -> None:
        if type(self.value) is not int or not 0 < self.value < 2**256:
            raise InvalidInput("value", "must be an integer from 1 to 2^256-1")
        if type(self.scale) is not int or not 0 <= self.scale <= SCALE_MAX:
            raise InvalidInput("scale", f"must be an integer from 0 to {SCALE_MAX}")
        if not CURRENCY.fullmatch(self.currency):
            raise InvalidInput("currency", "must be 3 to 8 capital letters")
        if not _SOURCE.fullmatch(self.source):
            raise InvalidInput("source", "must be a-z 0-9 . _ : / -, up to 128")
        if self.block is not None and (type(self.block) is not int or not 0 <= self.block < 2**63):
            raise InvalidInput("block", "must be a block number or null")

    def to_json(self) -> dict[str, Any]:
        return {
            "asset": self.asset_id,
            "currency": self.currency,
            "value": str(self.value),
            "scale": self.scale,
            "source": self.source,
            "as_of": iso_us(self.as_of),
            "block": None if self.block is None else str(self.block),
        }

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Price":
        """Inverse of `to_json`. Raises InvalidInput or ValueError on any other form."""
        try:
            block = body["block"]
            price = Price(
                AssetId(body["asset"]),
                body["currency"],
                parse_amount(body["value"], "value"),
                body["scale"],
                body["source"],
                datetime.strptime(body["as_of"], _TIME).replace(tzinfo=UTC),
                None if block is None else parse_amount(block, "block", 0),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a price") from error
        if price.to_json() != body:
            raise ValueError("not a price in canonical form")
        return price


@dataclass(frozen=True, slots=True)
class PriceBound:
    """How old a price may be, in seconds, and how far the two may differ, in bps of the lower."""

    age_max_s: int
    deviation_max_bps: int


@dataclass(frozen=True, slots=True)
class ReferencePrice:
    """Two prices that agree. `value` and `scale` are those of the higher: rules are caps on what
    leaves, so the dearer reading is the careful one."""

    higher: Price
    lower: Price

    @property
    def asset_id(self) -> AssetId:
        return self.higher.asset_id

    @property
    def currency(self) -> str:
        return self.higher.currency

    @property
    def value(self) -> int:
        return self.higher.value

    @property
    def scale(self) -> int:
        return self.higher.scale

    def to_json(self) -> dict[str, Any]:
        return {"higher": self.higher.to_json(), "lower": self.lower.to_json()}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "ReferencePrice":
        """Inverse of `to_json`. Raises InvalidInput or ValueError on any other form."""
        if not isinstance(body, Mapping) or set(body) != {"higher", "lower"}:
            raise ValueError("not a reference price")
        price = ReferencePrice(Price.from_json(body["higher"]), Price.from_json(body["lower"]))
        if _at_scale(price.higher) < _at_scale(price.lower):
            raise ValueError("not a reference price: the higher is the lower")
        a, b = price.higher, price.lower
        if (a.asset_id, a.currency) != (b.asset_id, b.currency) or a.source == b.source:
            raise ValueError("not a reference price: not two sources of one price")
        return price


def agree(
    first: Price | None, second: Price | None, *, now: datetime, bound: PriceBound
) -> ReferencePrice | PriceFault:
    """The price to decide by, or why there is none. Checks in the order of PriceFault."""
    if first is None or second is None:
        return PriceFault.MISSING
    if (first.asset_id, first.currency) != (second.asset_id, second.currency):
        return PriceFault.OTHER
    if first.source == second.source:
        return PriceFault.SAME_SOURCE
    ages_us = [_microseconds(now) - _microseconds(p.as_of) for p in (first, second)]
    if min(ages_us) < 0:
        return PriceFault.FUTURE
    if max(ages_us) > bound.age_max_s * 1_000_000:
        return PriceFault.STALE
    lower, higher = sorted((first, second), key=_at_scale)
    if (_at_scale(higher) - _at_scale(lower)) * BPS > bound.deviation_max_bps * _at_scale(lower):
        return PriceFault.DISAGREE
    return ReferencePrice(higher, lower)


def is_worth_at_most(amount: int, price: ReferencePrice, value_max_micro: int) -> bool:
    """Whether `amount` base units are worth no more. Exact: multiplied out, nothing is rounded."""
    return bool(amount * price.value * MICRO <= value_max_micro * 10**price.scale)


def _at_scale(price: Price) -> int:
    """The value at the largest scale, so that any two compare."""
    return int(price.value * 10 ** (SCALE_MAX - price.scale))


def _microseconds(at: datetime) -> int:
    """Whole microseconds since 1970, without a float. Requires an aware time."""
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

"""The one place where other people's rates become ours: net simple APR in ray, act/365.

The traps: APR or APY; decimal ("0.0425"), percent ("4.25", "4.25%") or e8 integer (4250000);
marginal or whole-balance tiers (`Tiered` or `WholeTiered` of router/curves.py); estimate or
contract. A decimal taken for a percent can't be told by its look: bounds and a second source can
(router/rates/check.py).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import StrEnum

from router.curves import RAY

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?")
_DIGITS = re.compile(r"[0-9]{1,18}")


class BadRate(ValueError):
    """The text is not a rate in the form the source documents."""


class Unit(StrEnum):
    """How a source writes a rate."""

    DECIMAL = "decimal"  # "0.0425"
    PERCENT = "percent"  # "4.25" or "4.25%"
    E8 = "e8"  # 4250000
    BPS = "bps"  # 425


class Kind(StrEnum):
    APR = "apr"  # simple
    APY = "apy"  # compounded, by default daily


@dataclass(frozen=True, slots=True)
class Quote:
    """What a source says is paid: net simple APR in ray on act/365.

    `is_estimate`: a forecast of a variable rate and not a promise. `as_of` is when the source had
    it, or when it was asked where it doesn't say.
    """

    source: str
    rate_ray: int
    is_estimate: bool
    as_of: datetime


def simple_ray_down(value: object, unit: Unit, kind: Kind, periods: int = 365) -> int:
    """A rate as a source writes it, as ours; rounded down. Raises BadRate."""
    ray = _READ[unit](value)
    return ray if kind is Kind.APR else apr_from_apy_down(ray, periods)


def ray_from_decimal(text: object) -> int:
    """ "0.0425" is 4.25 %. Raises BadRate; a float is refused: it has been rounded by somebody."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise BadRate(f"not a decimal rate: {text!r}")
    whole, _, places = text.partition(".")
    return int(whole) * RAY + int(places[:27].ljust(27, "0"))


def ray_from_percent(text: object) -> int:
    """ "4.25" and "4.25%" are 4.25 %."""
    if isinstance(text, str):
        text = text.removesuffix("%")
    return ray_from_decimal(text) // 100


def ray_from_bps(bps: int) -> int:
    return bps * RAY // 10_000


def ray_from_e8(value: object) -> int:
    """4250000, or the same as digits, is 4.25 %: hundred-millionths. Raises BadRate."""
    return _whole(value) * (RAY // 10**8)


def _whole(value: object) -> int:
    """An integer, also as digits. A decimal point means another unit: refused."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise BadRate(f"not a whole number: {value!r}")


def apr_from_apy_down(apy_ray: int, periods: int = 365) -> int:
    """The simple rate that compounds to an APY in `periods` a year, rounded down."""
    with localcontext() as context:
        context.prec = 60
        factor = (1 + Decimal(apy_ray) / RAY) ** (Decimal(1) / periods) - 1
        return int((factor * periods * RAY).to_integral_value(ROUND_FLOOR))


def after_fee_down(rate_ray: int, fee_bps: int) -> int:
    """What is left of a rate after a fee on the yield."""
    return rate_ray * (10_000 - fee_bps) // 10_000


def decimal_text(rate_ray: int) -> str:
    """A rate as a decimal string with 12 places, rounded towards zero."""
    sign, size = ("-", -rate_ray) if rate_ray < 0 else ("", rate_ray)
    scaled = size * 10**12 // RAY
    return f"{sign}{scaled // 10**12}.{scaled % 10**12:012d}"


_READ: Mapping[Unit, Callable[[object], int]] = {
    Unit.DECIMAL: ray_from_decimal,
    Unit.PERCENT: ray_from_percent,
    Unit.E8: ray_from_e8,
    Unit.BPS: lambda value: ray_from_bps(_whole(value)),
}

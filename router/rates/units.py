"""The one place where other people's rates become ours: net simple APR in ray, act/365.

The traps: APR or APY, decimal ("0.0425") or percent ("4.25", "4.25%"), compounding periods.
"""

import re
from decimal import ROUND_FLOOR, Decimal, localcontext

from router.curves import RAY

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?")


class BadRate(ValueError):
    """The text is not a rate in the form the source documents."""


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

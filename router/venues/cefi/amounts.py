"""Exchanges' decimal strings and our base units: exact, the rounding in the name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from router.rates.units import BadRate
from router.venues.cefi.port import EarnUnavailable


def to_units_down(text: object, decimals: int) -> int:
    """Base units of a decimal string; what is finer than a base unit is cut off."""
    return _units(text, decimals)[0]


def to_units_up(text: object, decimals: int) -> int:
    whole, rest = _units(text, decimals)
    return whole + (rest > 0)


def _units(text: object, decimals: int) -> tuple[int, int]:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise EarnUnavailable(f"not a decimal amount: {text!r}")
    whole, _, places = text.partition(".")
    kept, rest = places[:decimals].ljust(decimals, "0"), places[decimals:]
    return int(whole + kept), int(rest or "0")


def to_text(amount: int, decimals: int) -> str:
    """The exact decimal string of base units, without trailing zeros."""
    if decimals == 0:
        return str(amount)
    whole, places = divmod(amount, 10**decimals)
    return f"{whole}.{places:0{decimals}d}".rstrip("0").rstrip(".")


@contextmanager
def understood(what: str) -> Iterator[None]:
    """A field that is missing or of another type: an answer that can't be trusted."""
    try:
        yield
    except (BadRate, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EarnUnavailable(f"{what} not understood: {error!r}") from error

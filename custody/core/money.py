"""Money is an int in base units together with its asset. No float anywhere.

Amounts travel as decimal strings in JSON and as NUMERIC(78,0) in PostgreSQL, which holds 2^256-1.
"""

import re
from dataclasses import dataclass
from typing import NewType

from custody.core.errors import InvalidInput

AssetId = NewType("AssetId", str)
"""CAIP-19 (`eip155:31337/erc20:0x…`, `eip155:31337/slip44:60`) or `share:<pool>`."""

AMOUNT_MAX = 2**256 - 1
DIGITS_MAX = 78
_AMOUNT = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in base units of one asset. Never negative."""

    amount: int
    asset: AssetId

    def __post_init__(self) -> None:
        if type(self.amount) is not int or not 0 <= self.amount <= AMOUNT_MAX:
            raise InvalidInput("amount", "must be an integer from 0 to 2^256-1 in base units")


def parse_amount(text: object, field: str = "amount", minimum: int = 1) -> int:
    """Base units from a decimal string: digits only, no sign, point, exponent or leading zero."""
    if not isinstance(text, str):
        raise InvalidInput(field, "must be a string of decimal digits (base units)")
    if len(text) > DIGITS_MAX:
        raise InvalidInput(field, f"must have at most {DIGITS_MAX} digits")
    if not _AMOUNT.fullmatch(text) or not text.isascii():
        raise InvalidInput(field, "must be a whole number in base units, digits only")
    amount = int(text)
    if amount < minimum:
        raise InvalidInput(field, f"must be at least {minimum}")
    if amount > AMOUNT_MAX:
        raise InvalidInput(field, "must be at most 2^256-1")
    return amount


def mul_div_down(a: int, b: int, divisor: int) -> int:
    """floor(a * b / divisor). Requires a, b >= 0 and divisor > 0."""
    return a * b // divisor


def mul_div_up(a: int, b: int, divisor: int) -> int:
    """ceil(a * b / divisor). Requires a, b >= 0 and divisor > 0."""
    return -(-a * b // divisor)


def erc20_asset(chain_id: int, address: str) -> AssetId:
    """CAIP-19 id of a token; the address in lower case so that one token has one id."""
    return AssetId(f"eip155:{chain_id}/erc20:{address.lower()}")


def native_asset(chain_id: int) -> AssetId:
    """CAIP-19 id of the chain's own coin (SLIP-44 60 on every chain we know)."""
    return AssetId(f"eip155:{chain_id}/slip44:60")


def share_asset(pool_hex: str) -> AssetId:
    """The asset in which shares of one pool are counted."""
    return AssetId(f"share:{pool_hex}")

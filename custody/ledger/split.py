"""Exact splits. Pure: no clock, no database."""

from collections.abc import Sequence

from custody.core.errors import InvalidInput


def split(amount: int, shares: Sequence[int]) -> list[int]:
    """`amount` base units in proportion to `shares`; the parts sum to exactly `amount`.

    Every part is floored, then the rest is handed out one unit each, first to last, to those with
    a share. Requires amount >= 0 and shares >= 0, not all zero; raises InvalidInput.
    """
    if amount < 0:
        raise InvalidInput("amount", "must not be negative")
    total = sum(shares)
    if total <= 0 or min(shares) < 0:
        raise InvalidInput("shares", "must be zero or more, and not all zero")
    parts = [amount * share // total for share in shares]
    rest = amount - sum(parts)
    for i, share in enumerate(shares):
        if rest == 0:
            break
        if share:
            parts[i] += 1
            rest -= 1
    return parts

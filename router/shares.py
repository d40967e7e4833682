"""Shares of a pool: what they cost and what they are worth. Pure; rounding favours the pool."""

from dataclasses import dataclass

from router.curves import RAY

SHARE_SCALE = 10**6
"""The first joiner gets this many share units for a base unit, so that a price loses no digits."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the holders own together and in how many share units."""

    assets: int
    shares: int

    def shares_down(self, amount: int) -> int:
        """Shares for money that comes in. Requires assets > 0 if there are shares."""
        return amount * SHARE_SCALE if self.shares == 0 else amount * self.shares // self.assets

    def shares_up(self, amount: int) -> int:
        """Shares to burn for money that leaves. Requires assets > 0."""
        return -(-amount * self.shares // self.assets)

    def value_down(self, shares: int) -> int:
        return 0 if self.shares == 0 else shares * self.assets // self.shares

    @property
    def price_ray_down(self) -> int:
        """Base units of the asset a share unit, in ray; the first price is one millionth."""
        return RAY // SHARE_SCALE if self.shares == 0 else self.assets * RAY // self.shares

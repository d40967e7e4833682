"""Risk tiers, and a policy's shares turned into amounts of one pool. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from custody.core.money import mul_div_down, mul_div_up

WAD = 10**18
"""Shares are integers of 1e-18, so that "0.80" means exactly that."""


class Tier(StrEnum):
    """Ascending risk. A holder consents to the riskiest tier that the pool may use."""

    CASH = "cash"
    BONDS = "bonds"
    STAKING = "staking"
    STRATEGIES = "strategies"


ORDER = tuple(Tier)


def riskiest(tiers: "list[Tier]") -> Tier:
    """Requires at least one tier."""
    return max(tiers, key=ORDER.index)


def within(tier: Tier, limit: Tier) -> bool:
    return ORDER.index(tier) <= ORDER.index(limit)


@dataclass(frozen=True, slots=True)
class VenueLimit:
    """The most that may lie at one venue: an amount in base units and a share of the pool."""

    amount_max: int
    share_max_wad: int


@dataclass(frozen=True, slots=True)
class Limits:
    """A policy's numbers, before the size of the pool is known."""

    buffer_share_wad: int
    tiers: Mapping[Tier, int]
    venues: Mapping[str, VenueLimit]


def share_down(total: int, share_wad: int) -> int:
    """A cap: what a share of the pool may hold at most."""
    return mul_div_down(total, share_wad, WAD)


def share_up(total: int, share_wad: int) -> int:
    """A floor: what a share of the pool must hold at least."""
    return mul_div_up(total, share_wad, WAD)

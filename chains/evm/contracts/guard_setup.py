"""What a TreasuryGuard is made with: its constructor's one argument (`ITreasuryGuard.Setup`).

A guard is made by CREATE2, so its address commits to all of this. Amounts are base units of its
asset; shares of a total are hundredths of a percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chains.evm.address import ZERO_ADDRESS
from chains.evm.contracts.treasury_guard import GROUPS_MAX, VenueKind

VENUES_MAX = 8
GRAINS_MAX = 2**32 - 1


def venue_id(name: str) -> bytes:
    """`aave-usdc` -> bytes32, UTF-8, padded with zeros on the right. Requires at most 32 bytes."""
    raw = name.encode()
    if len(raw) > 32:
        raise ValueError(f"venue name {name!r} has {len(raw)} bytes, 32 are the most")
    return raw.ljust(32, b"\0")


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """A venue and its limits. `flow_max` is what may enter in a day, as a bucket."""

    name: str
    kind: VenueKind
    target: str
    aux: str
    cap: int
    share_max_bps: int
    flow_max: int

    def encoded(self) -> tuple[object, ...]:
        limits = (self.cap, self.share_max_bps, self.flow_max)
        return (venue_id(self.name), int(self.kind), self.target, self.aux, limits)


@dataclass(frozen=True, slots=True)
class GroupTerms:
    """Venues that could fail together, by name."""

    venues: tuple[str, ...]
    cap: int
    share_max_bps: int

    def encoded(self) -> tuple[object, ...]:
        return ([venue_id(name) for name in self.venues], self.cap, self.share_max_bps)


@dataclass(frozen=True, slots=True)
class GuardSetup:
    """`asset` None is the native coin. `payees` maps each to what it may be paid in a day.

    Caps, flows and `idle_min` are whole multiples of `grain`, up to 2^32 - 1 of them. `delay_s` is
    what lies between a proposal to loosen something and its execution.
    """

    asset: str | None
    owner: str
    guardian: str
    allocator: str
    treasury: str
    grain: int
    delay_s: int
    idle_min: int
    payees_day_max: int
    venues: Sequence[VenueTerms]
    groups: Sequence[GroupTerms] = ()
    payees: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, before the contract would revert without a word."""
        if len(self.venues) > VENUES_MAX:
            raise ValueError(f"venues: {len(self.venues)}, a guard takes {VENUES_MAX}")
        if len(self.groups) > GROUPS_MAX:
            raise ValueError(f"groups: {len(self.groups)}, a guard takes {GROUPS_MAX}")
        limits = {"idle_min": self.idle_min}
        for venue in self.venues:
            limits |= {f"{venue.name}.cap": venue.cap, f"{venue.name}.flow_max": venue.flow_max}
        limits |= {f"groups[{i}].cap": group.cap for i, group in enumerate(self.groups)}
        for name, limit in limits.items():
            if limit % self.grain or not 0 <= limit // self.grain <= GRAINS_MAX:
                raise ValueError(f"{name}: {limit} is not 0 to {GRAINS_MAX} grains of {self.grain}")

    def encoded(self) -> tuple[object, ...]:
        """The struct, in the order of its fields."""
        return (
            *(self.asset or ZERO_ADDRESS, self.owner, self.guardian, self.allocator, self.treasury),
            *(self.grain, self.delay_s, self.idle_min, self.payees_day_max),
            [venue.encoded() for venue in self.venues],
            [group.encoded() for group in self.groups],
            list(self.payees.items()),
        )

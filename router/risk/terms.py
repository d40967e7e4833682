"""What a policy of schema "moorage.risk/2" says beyond caps and tiers, as typed values.

Shares are WAD, rates ray, amounts base units of the pool's asset, times seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from router.tiers import Tier


class Factor(StrEnum):
    """What a venue is rated on by people, 0 (best) to 100 (worst) each."""

    CONTRACT = "contract"  # code: age, complexity, what audits found
    MARKET = "market"  # what could lose value: collateral, assets, price feeds
    LIQUIDITY = "liquidity"  # how surely the money comes back in time
    COUNTERPARTY = "counterparty"  # who holds the money, and under which law
    GOVERNANCE = "governance"  # who can change the rules, and how fast


class Gate(StrEnum):
    """Findings that no score makes up for."""

    UNVERIFIED_SOURCE = "unverified_source"
    NO_AUDIT = "no_audit"
    UNVERIFIABLE_RESERVES = "unverifiable_reserves"
    SINGLE_KEY = "single_key"


class By(StrEnum):
    """What puts venues into one group."""

    PROTOCOL = "protocol"
    CHAIN = "chain"
    ISSUER = "issuer"
    KIND = "kind"
    ORACLE = "oracle"
    TIER = "tier"


BARRED = "barred"
EVERY = "*"
"""In a group's `value`: one group of this cap for each value there is."""


@dataclass(frozen=True, slots=True)
class Card:
    """A venue's risk card. `gates` are those that apply to it; `oracle` None: it uses none."""

    protocol: str
    chain: str
    issuers: tuple[str, ...]
    kind: str
    oracle: str | None
    ratings: Mapping[Factor, int]
    gates: frozenset[Gate]


@dataclass(frozen=True, slots=True)
class Scoring:
    """`weights_bps` sum to 10,000; `score_max` ascends with the tiers; a gate's effect is the
    least risky tier that a venue may still have (None: no tier, it is barred)."""

    weights_bps: Mapping[Factor, int]
    score_max: Mapping[Tier, int]
    gates: Mapping[Gate, Tier | None]


@dataclass(frozen=True, slots=True)
class EntryRules:
    """What must hold at a venue for money to enter. A share of 1 asks nothing.

    `supply_share` is ours of all that lies there, `liquidity_share` ours against what anybody
    could withdraw there now; both as they are after we entered, our own money included.
    """

    size_min: int
    supply_share_wad: int
    liquidity_share_wad: int
    utilisation_max_wad: int
    rate_max_ray: int
    rate_age_max_s: int


@dataclass(frozen=True, slots=True)
class GroupRule:
    """A cap on what venues of one kind hold together: absolute, relative to the pool, or both."""

    by: By
    value: str
    amount_max: int | None
    share_max_wad: int | None


@dataclass(frozen=True, slots=True)
class Rung:
    """Of the pool, at least this share is home within the horizon, whatever happens."""

    horizon_s: int
    share_min_wad: int


@dataclass(frozen=True, slots=True)
class LockUp:
    """Of the pool, at most this share is away for longer than `over_s`."""

    over_s: int
    share_max_wad: int


@dataclass(frozen=True, slots=True)
class Depeg:
    """The issuer's coin loses the share `drop`: the pool may lose at most `loss_share_max`."""

    issuer: str
    drop_wad: int
    loss_share_max_wad: int


@dataclass(frozen=True, slots=True)
class RiskTerms:
    """`delay_s` is how long a loosening of this document waits; `quantile_wad` which outflow the
    forecast must name; `freezes_s` for how long any one venue may be frozen without the pool
    missing a payment."""

    delay_s: int
    scoring: Scoring
    cards: Mapping[str, Card]
    entry: Mapping[str, EntryRules]
    groups: tuple[GroupRule, ...]
    quantile_wad: int
    ladder: tuple[Rung, ...]
    lock_ups: tuple[LockUp, ...]
    freezes_s: tuple[int, ...]
    depegs: tuple[Depeg, ...]
    turnover_share_wad: int | None

    def horizons_s(self) -> tuple[int, ...]:
        """For which horizons outflows must be foretold, ascending."""
        return tuple(sorted({r.horizon_s for r in self.ladder} | set(self.freezes_s)))

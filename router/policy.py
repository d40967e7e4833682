"""The risk policy of a pool: schema "moorage.risk/1" or "/2", strictly read, hash-chained. Pure.

Every missing, extra or ill-typed field is an InvalidInput that names the field and the rule. The
second schema has risk cards, groups, ladders and stress tests as well: see `router/risk/`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custody.core import canonical
from custody.core.errors import InvalidInput
from router.fees import SPREAD_BPS_MAX
from router.risk import document as second
from router.risk import strict
from router.risk.guard_rule import GuardRule, guard_rule
from router.risk.strict import Reader, a_list
from router.risk.terms import RiskTerms
from router.tiers import Limits, Tier, VenueLimit, riskiest

SCHEMA = "moorage.risk/1"
SCHEMAS = (SCHEMA, second.SCHEMA)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    SCHEMA: ("schema", "pool", "version", "previous", "tiers", "venues", "liquidity_buffer_share"),
    second.SCHEMA: second.FIELDS,
}
_EXTRA: Mapping[str, tuple[str, ...]] = {SCHEMA: (), second.SCHEMA: ("guard",)}
_VENUE: Mapping[str, tuple[str, ...]] = {
    SCHEMA: ("id", "cap", "share_max"),
    second.SCHEMA: second.VENUE_FIELDS,
}
_REBALANCE = ("horizon_s", "min_gain", "ticket")
_REBALANCE_MORE = ("cooldown_s", "turnover_share_max", "gas_max", "slippage_max_bps")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RebalanceRule:
    """Move only if the gain over the horizon reaches `min_gain`; no leg below `ticket`.

    None means no limit: `turnover_max` is the most that all legs of one plan may move together;
    `gas_max` the most that the gas of one leg may cost; both in base units of the pool's asset.
    `slippage_max_bps` is the most of its amount that a leg may lose against the share price. The
    last two are for moves made for yield only, see router/cost_rules.py.
    """

    horizon_s: int
    min_gain: int
    ticket: int
    cooldown_s: int
    turnover_max: int | None = None
    gas_max: int | None = None
    slippage_max_bps: int | None = None

    @property
    def has_ceilings(self) -> bool:
        return self.gas_max is not None or self.slippage_max_bps is not None


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """`terms` is None for a document of the first schema."""

    pool: str
    version: int
    previous: str | None
    limits: Limits
    venue_tiers: Mapping[str, Tier]
    rebalance: RebalanceRule
    spread_bps: int | None
    hash: str
    terms: RiskTerms | None = None
    guard: GuardRule = field(default_factory=GuardRule)

    @property
    def tier(self) -> Tier:
        """The riskiest tier with a venue in it."""
        return riskiest(list(self.venue_tiers.values()))


def parse(document: object) -> RiskPolicy:
    """The policy, or InvalidInput at the first field that breaks a rule, in document order."""
    schema = document.get("schema", SCHEMA) if isinstance(document, dict) else SCHEMA
    if schema not in SCHEMAS:
        raise InvalidInput("schema", f"must be {' or '.join(SCHEMAS)}")
    read, extra = Reader(schema), ("rebalance", "spread_bps")
    body = read.object(document, "policy", _FIELDS[schema], extra + _EXTRA[schema])
    if "rebalance" not in body:
        raise InvalidInput("rebalance", "is missing")
    version = strict.integer(body["version"], "version", 1, 2**31 - 1)
    tiers, venue_tiers = _tiers(read, body["tiers"])
    limits = Limits(
        strict.share(body["liquidity_buffer_share"], "liquidity_buffer_share"),
        tiers,
        _venues(read, body["venues"], venue_tiers),
    )
    rebalance = _rebalance(read, body["rebalance"])
    terms = second.terms(body, venue_tiers) if schema == second.SCHEMA else None
    spread = body.get("spread_bps")
    return RiskPolicy(
        pool=strict.text(body["pool"], "pool"),
        version=version,
        previous=_previous(body["previous"], version),
        limits=limits,
        venue_tiers=venue_tiers,
        rebalance=rebalance,
        spread_bps=(
            None if spread is None else strict.integer(spread, "spread_bps", 0, SPREAD_BPS_MAX)
        ),
        hash=hash_of(body),
        terms=terms,
        guard=guard_rule(read, body["guard"]) if "guard" in body else GuardRule(),
    )


def hash_of(document: Mapping[str, Any]) -> str:
    """`sha256:` and the hex SHA-256 of the canonical bytes: what the next version names."""
    return "sha256:" + hashlib.sha256(canonical.encode(dict(document))).hexdigest()


def _tiers(read: Reader, value: object) -> tuple[dict[Tier, int], dict[str, Tier]]:
    shares: dict[Tier, int] = {}
    placed: dict[str, Tier] = {}
    for i, item in enumerate(a_list(value, "tiers")):
        where = f"tiers[{i}]"
        body = read.object(item, where, ("name", "share_max", "venues"))
        names = tuple(t.value for t in Tier)
        tier = Tier(strict.one_of(body["name"], f"{where}.name", names))
        if tier in shares:
            raise InvalidInput(f"{where}.name", "a tier is listed once")
        shares[tier] = strict.share(body["share_max"], f"{where}.share_max")
        for j, venue in enumerate(a_list(body["venues"], f"{where}.venues")):
            id_ = strict.venue_id(venue, f"{where}.venues[{j}]")
            if id_ in placed:
                raise InvalidInput(f"{where}.venues[{j}]", "a venue is in one tier")
            placed[id_] = tier
    return shares, placed


def _venues(read: Reader, value: object, placed: Mapping[str, Tier]) -> dict[str, VenueLimit]:
    limits: dict[str, VenueLimit] = {}
    for i, item in enumerate(a_list(value, "venues")):
        where = f"venues[{i}]"
        body = read.object(item, where, _VENUE[read.schema])
        id_ = strict.venue_id(body["id"], f"{where}.id")
        if id_ in limits:
            raise InvalidInput(f"{where}.id", "a venue is listed once")
        if id_ not in placed:
            raise InvalidInput(f"{where}.id", "a venue must be in a tier")
        cap = strict.amount(body["cap"], f"{where}.cap")
        limits[id_] = VenueLimit(cap, strict.share(body["share_max"], f"{where}.share_max"))
    missing = sorted(set(placed) - set(limits))
    if missing:
        raise InvalidInput("venues", f"{missing[0]} is in a tier but has no cap")
    return limits


def _rebalance(read: Reader, value: object) -> RebalanceRule:
    """In the second schema no field may be left out: null says that there is no such limit."""
    where = "rebalance"
    if read.schema == SCHEMA:
        body = read.object(value, where, _REBALANCE, _REBALANCE_MORE[:1])
    else:
        body = read.object(value, where, (*_REBALANCE, *_REBALANCE_MORE))
    gas, slippage = body.get("gas_max"), body.get("slippage_max_bps")
    return RebalanceRule(
        horizon_s=strict.integer(body["horizon_s"], f"{where}.horizon_s", 1, 10**9),
        min_gain=strict.amount(body["min_gain"], f"{where}.min_gain"),
        ticket=strict.amount(body["ticket"], f"{where}.ticket", 1),
        cooldown_s=strict.integer(body.get("cooldown_s", 0), f"{where}.cooldown_s", 0, 10**9),
        gas_max=None if gas is None else strict.amount(gas, f"{where}.gas_max"),
        slippage_max_bps=(
            None
            if slippage is None
            else strict.integer(slippage, f"{where}.slippage_max_bps", 0, 10_000)
        ),
    )


def _previous(value: object, version: int) -> str | None:
    if value is None:
        if version != 1:
            raise InvalidInput("previous", "only version 1 has no previous")
        return None
    if version == 1:
        raise InvalidInput("previous", "version 1 has no previous")
    text = strict.text(value, "previous")
    if not _HASH.fullmatch(text):
        raise InvalidInput("previous", "must be sha256: and 64 hex digits")
    return text

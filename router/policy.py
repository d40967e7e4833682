"""The risk policy of a pool: schema "moorage.risk/1", strictly validated, hash-chained. Pure.

Every missing, extra or ill-typed field is an InvalidInput that names the field and the rule.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.money import parse_amount
from router.tiers import WAD, Limits, Tier, VenueLimit, riskiest

SCHEMA = "moorage.risk/1"
SPREAD_BPS_MAX = 5_000
_SHARE = re.compile(r"0(\.[0-9]{1,18})?|1(\.0{1,18})?")
_VENUE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RebalanceRule:
    """Move only if the gain over the horizon reaches `min_gain`; no leg below `ticket`."""

    horizon_s: int
    min_gain: int
    ticket: int
    cooldown_s: int


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    pool: str
    version: int
    previous: str | None
    limits: Limits
    venue_tiers: Mapping[str, Tier]
    rebalance: RebalanceRule
    spread_bps: int | None
    hash: str

    @property
    def tier(self) -> Tier:
        """The riskiest tier with a venue in it."""
        return riskiest(list(self.venue_tiers.values()))


def parse(document: object) -> RiskPolicy:
    """The policy, or InvalidInput at the first field that breaks a rule, in document order."""
    body = _object(
        document,
        "policy",
        ("schema", "pool", "version", "previous", "tiers", "venues", "liquidity_buffer_share"),
        ("rebalance", "spread_bps"),
    )
    if body["schema"] != SCHEMA:
        raise InvalidInput("schema", f"must be {SCHEMA}")
    if "rebalance" not in body:
        raise InvalidInput("rebalance", "is missing")
    version = _integer(body["version"], "version", 1, 2**31 - 1)
    tiers, venue_tiers = _tiers(body["tiers"])
    limits = Limits(
        _share(body["liquidity_buffer_share"], "liquidity_buffer_share"),
        tiers,
        _venues(body["venues"], venue_tiers),
    )
    spread = body.get("spread_bps")
    return RiskPolicy(
        pool=_text(body["pool"], "pool"),
        version=version,
        previous=_previous(body["previous"], version),
        limits=limits,
        venue_tiers=venue_tiers,
        rebalance=_rebalance(body["rebalance"]),
        spread_bps=None if spread is None else _integer(spread, "spread_bps", 0, SPREAD_BPS_MAX),
        hash=hash_of(body),
    )


def hash_of(document: Mapping[str, Any]) -> str:
    """`sha256:` and the hex SHA-256 of the canonical bytes: what the next version names."""
    return "sha256:" + hashlib.sha256(canonical.encode(dict(document))).hexdigest()


def _tiers(value: object) -> tuple[dict[Tier, int], dict[str, Tier]]:
    shares: dict[Tier, int] = {}
    placed: dict[str, Tier] = {}
    for i, item in enumerate(_list(value, "tiers")):
        where = f"tiers[{i}]"
        body = _object(item, where, ("name", "share_max", "venues"))
        name = _text(body["name"], f"{where}.name")
        if name not in {t.value for t in Tier}:
            raise InvalidInput(f"{where}.name", "must be cash, bonds, staking or strategies")
        tier = Tier(name)
        if tier in shares:
            raise InvalidInput(f"{where}.name", "a tier is listed once")
        shares[tier] = _share(body["share_max"], f"{where}.share_max")
        for j, venue in enumerate(_list(body["venues"], f"{where}.venues")):
            id_ = _venue_id(venue, f"{where}.venues[{j}]")
            if id_ in placed:
                raise InvalidInput(f"{where}.venues[{j}]", "a venue is in one tier")
            placed[id_] = tier
    return shares, placed


def _venues(value: object, placed: Mapping[str, Tier]) -> dict[str, VenueLimit]:
    limits: dict[str, VenueLimit] = {}
    for i, item in enumerate(_list(value, "venues")):
        where = f"venues[{i}]"
        body = _object(item, where, ("id", "cap", "share_max"))
        id_ = _venue_id(body["id"], f"{where}.id")
        if id_ in limits:
            raise InvalidInput(f"{where}.id", "a venue is listed once")
        if id_ not in placed:
            raise InvalidInput(f"{where}.id", "a venue must be in a tier")
        cap = parse_amount(body["cap"], f"{where}.cap", minimum=0)
        limits[id_] = VenueLimit(cap, _share(body["share_max"], f"{where}.share_max"))
    missing = sorted(set(placed) - set(limits))
    if missing:
        raise InvalidInput("venues", f"{missing[0]} is in a tier but has no cap")
    return limits


def _rebalance(value: object) -> RebalanceRule:
    where = "rebalance"
    body = _object(value, where, ("horizon_s", "min_gain", "ticket"), ("cooldown_s",))
    return RebalanceRule(
        horizon_s=_integer(body["horizon_s"], f"{where}.horizon_s", 1, 10**9),
        min_gain=parse_amount(body["min_gain"], f"{where}.min_gain", minimum=0),
        ticket=parse_amount(body["ticket"], f"{where}.ticket", minimum=1),
        cooldown_s=_integer(body.get("cooldown_s", 0), f"{where}.cooldown_s", 0, 10**9),
    )


def _previous(value: object, version: int) -> str | None:
    if value is None:
        if version != 1:
            raise InvalidInput("previous", "only version 1 has no previous")
        return None
    if version == 1:
        raise InvalidInput("previous", "version 1 has no previous")
    text = _text(value, "previous")
    if not _HASH.fullmatch(text):
        raise InvalidInput("previous", "must be sha256: and 64 hex digits")
    return text


def _object(
    value: object, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(where, "must be an object")
    prefix = "" if where == "policy" else where + "."
    for name in required:
        if name not in value:
            raise InvalidInput(prefix + name, "is missing")
    extra = sorted(str(k) for k in value if k not in required + optional)
    if extra:
        raise InvalidInput(prefix + extra[0], f"is not a field of {SCHEMA}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InvalidInput(where, "must be a list with at least one item")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isascii():
        raise InvalidInput(where, "must be ASCII text of 1 to 128 characters")
    return value


def _venue_id(value: object, where: str) -> str:
    if not isinstance(value, str) or not _VENUE.fullmatch(value):
        raise InvalidInput(where, "must be a venue id: lower case letters, digits and hyphens")
    return value


def _integer(value: object, where: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise InvalidInput(where, f"must be a whole number from {least} to {most}")
    return value


def _share(value: object, where: str) -> int:
    """A share in WAD from its decimal text."""
    if not isinstance(value, str) or not _SHARE.fullmatch(value):
        raise InvalidInput(where, "must be a decimal string from 0 to 1, at most 18 places")
    whole, _, places = value.partition(".")
    return int(whole) * WAD + int(places.ljust(18, "0"))

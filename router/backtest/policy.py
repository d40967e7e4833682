"""The policy of a backtest, schema "moorage.backtest/1": the limits of a run, strictly validated.

Every field but `schema` may be missing. Shares are decimal strings from 0 to 1; venues go by their
label, `venue:token`. Pure. What breaks a rule is an InvalidInput that names field and rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from custody.core.errors import InvalidInput
from router.backtest.panel import MICRO, Panel
from router.backtest.rules import Costs, Group, Rules
from router.curves import RAY
from router.tiers import WAD

SCHEMA = "moorage.backtest/1"
_FIELDS = frozenset(
    {
        *("schema", "share_max", "venues", "groups", "withdrawable_multiple", "utilisation_max"),
        *("frozen_days", "leg_usd", "swap_bps"),
    }
)
_SHARE = re.compile(r"0(\.[0-9]{1,18})?|1(\.0{1,18})?")


@dataclass(frozen=True, slots=True)
class Policy:
    rules: Rules = field(default_factory=Rules)
    costs: Costs = field(default_factory=Costs)


def parse(document: object) -> Policy:
    body = _object(document, "policy")
    for extra in sorted(set(body) - _FIELDS):
        raise InvalidInput(extra, f"is not a field of {SCHEMA}")
    if body.get("schema") != SCHEMA:
        raise InvalidInput("schema", f"must be {SCHEMA}")
    rules, costs = Rules(), Costs()
    venues = _object(body.get("venues", {}), "venues")
    return Policy(
        Rules(
            share_max_wad=_share(body.get("share_max", "1"), "share_max", WAD),
            venues={v: _share(x, f"venues.{v}", WAD) for v, x in venues.items()},
            groups=_groups(body.get("groups", [])),
            withdrawable_multiple=_integer(
                body, "withdrawable_multiple", rules.withdrawable_multiple, 1, 1000
            ),
            utilisation_max_ray=_share(body.get("utilisation_max", "0.95"), "utilisation_max", RAY),
            frozen_days=_integer(body, "frozen_days", rules.frozen_days, 2, 10_000),
        ),
        Costs(
            _integer(body, "leg_usd", costs.leg // MICRO, 0, 10_000) * MICRO,
            _integer(body, "swap_bps", costs.swap_bps, 0, 1000),
        ),
    )


def check_venues(policy: Policy, panel: Panel) -> None:
    """A limit for a venue that the panel has not is a mistake. Raises InvalidInput."""
    known = {v.label for v in panel.venues}
    named = [(f"venues.{v}", v) for v in policy.rules.venues or {}]
    named += [(f"groups.{g.name}", v) for g in policy.rules.groups for v in sorted(g.venues)]
    for where, venue in named:
        if venue not in known:
            raise InvalidInput(where, f"the panel has no venue {venue}")


def _groups(value: object) -> tuple[Group, ...]:
    if not isinstance(value, list):
        raise InvalidInput("groups", "must be a list")
    found: list[Group] = []
    for i, item in enumerate(value):
        where = f"groups[{i}]"
        body = _object(item, where)
        if set(body) != {"name", "venues", "share_max"}:
            raise InvalidInput(where, "must have name, venues and share_max")
        name, venues = body["name"], body["venues"]
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"{where}.name", "must be text")
        if not isinstance(venues, list) or not all(isinstance(v, str) for v in venues):
            raise InvalidInput(f"{where}.venues", "must be a list of labels, venue:token")
        share = _share(body["share_max"], f"{where}.share_max", WAD)
        found.append(Group(name, frozenset(venues), share))
    return tuple(found)


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(where, "must be an object")
    return value


def _share(value: object, where: str, scale: int) -> int:
    if not isinstance(value, str) or not _SHARE.fullmatch(value):
        raise InvalidInput(where, "must be a decimal string from 0 to 1, at most 18 places")
    whole, _, places = value.partition(".")
    return int(whole) * scale + int(places.ljust(18, "0")) * scale // 10**18


def _integer(body: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = body.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise InvalidInput(name, f"must be a whole number from {least} to {most}")
    return value

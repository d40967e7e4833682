"""The live guard's bounds, as a policy of schema "moorage.risk/2" sets them. Pure.

`guard` is a field that may be left out, and so may each bound in it: what is left out is as below,
which is what policies without it have always meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from custody.core.facts import DAY_S
from router.curves import BPS
from router.risk import strict
from router.risk.strict import RAY_PER_WAD, Reader
from router.tiers import WAD

_SHARES = {"utilisation_max": "utilisation_max_wad"}
_BPS = {
    "rate_moved_max_bps": "moved_max_bps",
    "jump_max_bps": "jump_bps",
    "rate_disagree_max_bps": "disagree_max_bps",
    "share_price_max_bps": "share_price_max_bps",
    "depeg_max_bps": "depeg_max_bps",
}
FIELDS = (*_SHARES, "cover_min", *_BPS, "block_age_max_s")


@dataclass(frozen=True, slots=True)
class GuardRule:
    """`cover_wad` is k: what the venue can pay out now must be k times what would be ours there.

    k = 1: even if all that we bring is lent out again one block later, we could leave whole. More
    would keep us out of every small market, less would mean to hope. `moved_max_bps` is how far
    the last unit's rate may have fallen since the plan: a fifth, as much as a plan of a minute
    ago can be wrong and still be the better choice. `disagree_max_bps` is wide, because a
    protocol's own figure is as old as its last transaction. `depeg_max_bps` is how far a watched
    price may be from its peg, and a receipt's below what it stands for.
    """

    utilisation_max_wad: int = WAD * 95 // 100
    cover_wad: int = WAD
    moved_max_bps: int = 2_000
    jump_bps: int = 5_000
    disagree_max_bps: int = 2_500
    share_price_max_bps: int = 100
    age_max_s: int = 300
    depeg_max_bps: int = 200


def guard_rule(read: Reader, value: object) -> GuardRule:
    """The bounds of a policy's `guard`. Raises InvalidInput naming field and rule."""
    where = "guard"
    body = read.object(value, where, (), FIELDS)
    found: dict[str, int] = {}
    for name, attribute in _SHARES.items():
        if name in body:
            found[attribute] = strict.share(body[name], f"{where}.{name}")
    if "cover_min" in body:
        found["cover_wad"] = strict.rate(body["cover_min"], f"{where}.cover_min") // RAY_PER_WAD
    for name, attribute in _BPS.items():
        if name in body:
            found[attribute] = strict.integer(body[name], f"{where}.{name}", 0, BPS)
    if "block_age_max_s" in body:
        name = "block_age_max_s"
        found["age_max_s"] = strict.integer(body[name], f"{where}.{name}", 1, DAY_S)
    return GuardRule(**found)


def at_most(rule: GuardRule) -> Mapping[str, int]:
    """Every bound by its field's name that is tighter the lower it is; `cover_min` is not one."""
    bounds = {name: getattr(rule, attribute) for name, attribute in (_SHARES | _BPS).items()}
    return {**bounds, "block_age_max_s": rule.age_max_s}

"""The report: what is owed, what is there, and the ratio of each asset. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from custody.assurance.solvency import layout
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.places import CASH, COLD, DEPLOYED, EXCHANGE, HOT
from custody.assurance.solvency.reserves import Reserve
from custody.core import canonical

SCHEMA = "moorage.solvency/1"
PPM = 10**6
PROVED = frozenset({"account", "storage"})
ACCEPTED = {HOT: PROVED, COLD: PROVED, DEPLOYED: PROVED | {"read"}, EXCHANGE: frozenset({"stated"})}
"""Which evidence counts for which class. What is only read is no cash."""

Json = dict[str, Any]


def reserve_json(reserve: Reserve, tiers: Mapping[str, str]) -> Json:
    """A member of `reserves`, not counted yet. `tiers` is by account code."""
    spot, exchange = reserve.spot, reserve.spot.class_ == EXCHANGE
    made: Json = {
        "chain_id": str(spot.chain_id),
        "address": "" if exchange else spot.holder,
        "asset": spot.asset_id,
        "class": spot.class_,
        "place": spot.code,
        "amount": str(reserve.amount),
        "counted": False,
        "evidence": reserve.evidence,
    }
    if spot.class_ in (DEPLOYED, EXCHANGE):
        made |= {"venue": spot.venue or "", "tier": tiers.get(spot.code, "")}
    return made


def order(member: Json) -> tuple[int, str, str, str]:
    return (int(member["chain_id"]), member["asset"], member["address"].lower(), member["place"])


def counted(members: Sequence[Json], owners: Sequence[Json]) -> list[Json]:
    """In order, each with whether it counts: by its evidence, and by who owns the address."""
    owned = {(o["chain_id"], o["address"].lower()) for o in owners}
    return sorted((m | {"counted": is_counted(m, owned)} for m in members), key=order)


def is_counted(member: Json, owned: set[tuple[str, str]]) -> bool:
    accepted = member["evidence"]["kind"] in ACCEPTED[member["class"]]
    at_home = (member["chain_id"], member["address"].lower()) in owned
    return accepted and (member["class"] == EXCHANGE or at_home)


def totals(context: Context, sums: Sequence[int], members: Sequence[Json]) -> list[Json]:
    """One line for each asset that is no share."""
    owed = layout.owed_up(context, sums)
    return [_total(asset, owed[asset], members) for asset in owed]


def _total(asset: str, owed: int, members: Sequence[Json]) -> Json:
    here = [m for m in members if m["asset"] == asset and m["counted"]]
    by_class = {
        c: sum(int(m["amount"]) for m in here if m["class"] == c)
        for c in (HOT, COLD, DEPLOYED, EXCHANGE)
    }
    there = sum(by_class.values())
    cash = sum(v for c, v in by_class.items() if c in CASH)
    return {
        "asset": asset,
        "owed": str(owed),
        **{c: str(v) for c, v in by_class.items()},
        "reserves": str(there),
        "covered": there >= owed,
        "ratio_ppm": _ppm_down(there, owed),
        "cash_ratio_ppm": _ppm_down(cash, owed),
    }


def _ppm_down(there: int, owed: int) -> str:
    return "" if owed == 0 else str(there * PPM // owed)


def build(
    head: Json, members: Sequence[Json], owners: Sequence[Json], left_out: Sequence[Json]
) -> Json:
    """The report. `head` has context, commitment, challenge, tree and chains, as computed."""
    context = Context.from_json(head["context"])
    shown = counted(members, owners)
    return {
        "schema": SCHEMA,
        **head,
        "owners": list(owners),
        "reserves": shown,
        "totals": totals(context, [int(v) for v in head["sums"]], shown),
        "left_out": list(left_out),
    }


def encode(report: Json) -> bytes:
    """Its one canonical form: what is stored, given out, and digested."""
    return canonical.encode(report)


def digest(report: Json) -> str:
    return digest_of(encode(report))


def digest_of(encoded: bytes) -> str:
    return "sha256:" + hashlib.sha256(encoded).hexdigest()

"""Curves from JSON, so that anybody can solve a stored plan again."""

from collections.abc import Mapping
from typing import Any

from router.curves import Curve
from router.lending_curves import Kinked, Queued, Slot
from router.stated_curves import FixedPot, Flat, Sampled, Tiered, WholeTiered


def from_json(body: Mapping[str, Any]) -> Curve:
    """Inverse of `to_json`. Raises ValueError for a kind that is not known."""
    kind = body["kind"]
    if kind == "flat":
        return Flat(int(body["rate_ray"]))
    if kind == "fixed_pot":
        return FixedPot(int(body["pot_ray"]), int(body["supply"]))
    if kind == "tiered":
        tiers = tuple((int(bound), int(rate)) for bound, rate in body["tiers"])
        return Tiered(tiers, int(body["rest_ray"]))
    if kind == "whole_tiered":
        tiers = tuple((int(bound), int(rate)) for bound, rate in body["tiers"])
        return WholeTiered(tiers, int(body["rest_ray"]))
    if kind == "kinked":
        return Kinked(**{k: int(v) for k, v in body.items() if k != "kind"})
    if kind == "sampled":
        return Sampled(tuple((int(x), int(y)) for x, y in body["points"]))
    if kind == "queued":
        slots = tuple(_slot(s) for s in body["slots"])
        return Queued(int(body["others"]), int(body["keep_wad"]), slots)
    raise ValueError(f"unknown curve kind {kind}")


def _slot(body: Mapping[str, Any]) -> Slot:
    market = from_json(body["market"])
    if not isinstance(market, Kinked):
        raise ValueError("a slot's market must be a kinked curve")
    return Slot(int(body["lo"]), int(body["offset"]), int(body["rest_ray"]), market)

"""What a withdrawal costs. Pure; rounding in favour of the house, never beyond the gross."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core.errors import InvalidInput, Refused
from custody.core.money import AssetId, mul_div_up, parse_amount

BPS = 10_000


@dataclass(frozen=True, slots=True)
class FeePlan:
    """`network` is a flat amount in base units of the asset; `service_bps` a share of the gross."""

    network: int
    service_bps: int


@dataclass(frozen=True, slots=True)
class Charges:
    """gross = net + network_fee + service_fee, to the base unit."""

    gross: int
    network_fee: int
    service_fee: int
    net: int


@dataclass(frozen=True, slots=True)
class FeeTable:
    """A plan for every asset that can be withdrawn; an asset without one cannot."""

    plans: Mapping[AssetId, FeePlan]

    def plan(self, asset: AssetId) -> FeePlan:
        plan = self.plans.get(asset)
        if plan is None:
            raise Refused("asset", "has no fee plan and so cannot be withdrawn")
        return plan


def charges(plan: FeePlan, gross: int) -> Charges:
    """Raises InvalidInput where the fees leave nothing to pay out."""
    service = mul_div_up(gross, plan.service_bps, BPS)
    net = gross - plan.network - service
    if net <= 0:
        raise InvalidInput("amount", f"must exceed its fees of {plan.network + service}")
    return Charges(gross, plan.network, service, net)


def table_from_json(body: Mapping[str, Any]) -> FeeTable:
    """From `{asset: {"network": "100000", "service_bps": 10}}`. Raises InvalidInput."""
    plans = {}
    for asset, row in body.items():
        bps = row.get("service_bps")
        if type(bps) is not int or not 0 <= bps < BPS:
            raise InvalidInput(f"fees.{asset}.service_bps", "must be a whole number, 0 to 9999")
        network = parse_amount(row.get("network"), f"fees.{asset}.network", minimum=0)
        plans[AssetId(asset)] = FeePlan(network, bps)
    return FeeTable(plans)

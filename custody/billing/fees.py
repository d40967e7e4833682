"""What a withdrawal costs. Pure; rounding in favour of the house, never beyond the gross."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custody.core.errors import InvalidInput, Refused
from custody.core.money import AssetId, mul_div_up, parse_amount

BPS = 10_000


@dataclass(frozen=True, slots=True)
class FeePlan:
    """`network` is a flat amount in base units of the asset; `service_bps` a share of the gross,
    never less than `service_min` nor more than `service_max` base units."""

    network: int
    service_bps: int
    service_min: int = 0
    service_max: int | None = None

    def to_json(self) -> dict[str, int | str | None]:
        """Amounts as decimal strings."""
        return {
            "network": str(self.network),
            "service_bps": self.service_bps,
            "service_min": str(self.service_min),
            "service_max": None if self.service_max is None else str(self.service_max),
        }


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


def service_fee_up(plan: FeePlan, amount: int) -> int:
    """The plan's share of `amount`, rounded up, within the plan's bounds."""
    fee = max(mul_div_up(amount, plan.service_bps, BPS), plan.service_min)
    return fee if plan.service_max is None else min(fee, plan.service_max)


def charges(plan: FeePlan, gross: int) -> Charges:
    """Raises InvalidInput where the fees leave nothing to pay out."""
    service = service_fee_up(plan, gross)
    net = gross - plan.network - service
    if net <= 0:
        raise InvalidInput("amount", f"must exceed its fees of {plan.network + service}")
    return Charges(gross, plan.network, service, net)


def table_from_json(body: Mapping[str, Any]) -> FeeTable:
    """From `{asset: {"network": "100000", "service_bps": 10}}`, with `service_min` and
    `service_max` where they are wanted. Raises InvalidInput."""
    plans = {}
    for asset, row in body.items():
        bps = row.get("service_bps")
        if type(bps) is not int or not 0 <= bps < BPS:
            raise InvalidInput(f"fees.{asset}.service_bps", "must be a whole number, 0 to 9999")
        network = parse_amount(row.get("network"), f"fees.{asset}.network", minimum=0)
        least, most = row.get("service_min", "0"), row.get("service_max")
        service_min = parse_amount(least, f"fees.{asset}.service_min", minimum=0)
        service_max = None
        if most is not None:
            field = f"fees.{asset}.service_max"
            service_max = parse_amount(most, field, minimum=service_min)
        plans[AssetId(asset)] = FeePlan(network, bps, service_min, service_max)
    return FeeTable(plans)

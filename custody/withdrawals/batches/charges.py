"""What a batch costs, and what is left to charge when some of it could not be paid. Pure."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from custody.billing.fees import FeePlan, service_fee_up


@dataclass(frozen=True, slots=True)
class BatchCharges:
    """Base units: gross = net + network_fee + the sum of `service_fees`, one a payout."""

    net: int
    network_fee: int
    service_fees: tuple[int, ...]

    @property
    def service_fee(self) -> int:
        return sum(self.service_fees)

    @property
    def gross(self) -> int:
        return self.net + self.network_fee + self.service_fee


def charges_up(plan: FeePlan, amounts: Sequence[int]) -> BatchCharges:
    """One network fee for the batch; of each payout the service fee on top of it."""
    fees = tuple(service_fee_up(plan, amount) for amount in amounts)
    return BatchCharges(sum(amounts), plan.network, fees)


@dataclass(frozen=True, slots=True)
class Outcome:
    """paid + fees + returned = gross. `fees` is the network fee and those of what was paid."""

    paid: int
    fees: int
    returned: int


def outcome(charged: BatchCharges, amounts: Sequence[int], skipped: Set[int]) -> Outcome:
    """What is skipped, by number, goes back to the holder with its service fee."""
    done = [i for i in range(len(amounts)) if i not in skipped]
    paid = sum(amounts[i] for i in done)
    fees = charged.network_fee + sum(charged.service_fees[i] for i in done)
    return Outcome(paid, fees, charged.gross - paid - fees)

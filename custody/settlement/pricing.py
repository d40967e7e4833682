"""Fees of first versions and of replacements. Pure: numbers in, numbers out, all wei per gas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from custody.core.intents import Intent, IntentKind
from custody.core.ports import Fees

BUMP_NUMERATOR, BUMP_DENOMINATOR = 1125, 1000
"""Nodes ask for 10 % more of both fees, some for 12.5 %; less is `underpriced` to them."""
GAS_CANCEL = 21_000


@dataclass(frozen=True, slots=True)
class SendingRules:
    """How patiently and how dearly we send.

    `pending_max` is what a node surely keeps of one sender (geth: 16 slots an account).
    `fee_max_wei` bounds, per asset, the whole fee of one transaction below what its intent allows.
    """

    replace_after_s: int = 60
    versions_max: int = 8
    pending_max: int = 16
    fee_max_wei: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def fee_bound(self, intent: Intent, gas: int) -> int:
        """The most that a unit of gas may cost."""
        whole = min(intent.fee_max_wei, self.fee_max_wei.get(intent.asset_id, intent.fee_max_wei))
        return whole // gas


def first(intent: Intent, quote: Fees, bound: int) -> Fees:
    """Today's fees within the bound."""
    if intent.kind is IntentKind.SWEEP_NATIVE:
        # Tip equal to the cap makes the price exact, so the sweep leaves not one wei behind.
        return Fees(bound, bound)
    return within(quote, bound)


def within(quote: Fees, bound: int) -> Fees:
    cap = min(quote.max_fee_per_gas, bound)
    return Fees(cap, min(quote.max_priority_fee_per_gas, cap))


def is_underpriced(paid: Fees, quote: Fees, base_fee: int) -> bool:
    """Whether a block producer earns less by it than by what the node suggests."""
    tip = min(paid.max_priority_fee_per_gas, paid.max_fee_per_gas - base_fee)
    return tip < quote.max_priority_fee_per_gas


def raised(last: Fees, quote: Fees, bound: int) -> Fees | None:
    """At least 12.5 % more of both fees, and what today asks for; None if the bound is below."""
    fee_min, tip_min = _bump_up(last.max_fee_per_gas), _bump_up(last.max_priority_fee_per_gas)
    if fee_min > bound:
        return None
    fee = min(max(fee_min, quote.max_fee_per_gas), bound)
    return Fees(fee, min(max(tip_min, quote.max_priority_fee_per_gas), fee))


def _bump_up(fee: int) -> int:
    return max(fee + 1, -(-fee * BUMP_NUMERATOR // BUMP_DENOMINATOR))

"""A request to sign, read strictly: what parses must print as the same canonical object."""

import re
from dataclasses import dataclass
from typing import Any

from chains.evm.transactions import UnsignedTransaction, authorization_hash
from custody.core.errors import InvalidInput
from custody.core.ids import format_id
from custody.core.intents import Decision, Intent
from custody.core.money import parse_amount
from custody.keys.refusal import Refusal, require
from custody.keys.store import Signed
from custody.policy.record import decision_from_json

BUMP_NUMERATOR, BUMP_DENOMINATOR = 1125, 1000
"""Nodes take a replacement from 10 % more on; 12.5 % is what all of them take."""
GAS_CANCEL = 21_000
"""What a transfer of nothing between plain accounts costs."""
VERSIONS_MAX = 16
"""Of one intent, all purposes together: 12.5 % sixteen times is more than six times the fee."""


@dataclass(frozen=True, slots=True)
class SignRequest:
    """A request to sign, parsed strictly. Fees in wei per gas."""

    intent: Intent
    decision: Decision
    nonce: int
    max_fee: int
    max_priority_fee: int

    @property
    def tenant(self) -> str:
        return format_id("tenant", self.intent.tenant_id)

    @property
    def intent_id(self) -> str:
        return format_id("intent", self.intent.id)


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A request to use up an intent's nonce for nothing. Fees in wei per gas."""

    intent: Intent
    nonce: int
    max_fee: int
    max_priority_fee: int

    @property
    def tenant(self) -> str:
        return format_id("tenant", self.intent.tenant_id)

    @property
    def intent_id(self) -> str:
        return format_id("intent", self.intent.id)


def parse_cancel(body: dict[str, Any]) -> CancelRequest:
    """Refuses with `bad_request` whatever is not exactly of the known form."""
    try:
        return CancelRequest(_intent(body), *_numbers(body))
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_request(error) from error


def parse_sign(body: dict[str, Any]) -> SignRequest:
    """Refuses with `bad_request` whatever is not exactly of the known form."""
    try:
        decision = decision_from_json(body["decision"])
        return SignRequest(_intent(body), decision, *_numbers(body))
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_request(error) from error


def _intent(body: dict[str, Any]) -> Intent:
    intent = Intent.from_json(body["intent"])
    if intent.to_json() != body["intent"]:
        raise ValueError("the intent is not in canonical form")
    _check_ranges(intent)
    return intent


def _numbers(body: dict[str, Any]) -> tuple[int, int, int]:
    fields = ("nonce", "max_fee_per_gas", "max_priority_fee_per_gas")
    nonce, fee, tip = (_number(body, field) for field in fields)
    return nonce, fee, tip


def _bad_request(error: Exception) -> Refusal:
    detail = str(error) if isinstance(error, ValueError) else type(error).__name__
    return Refusal("bad_request", f"not a request to sign: {detail[:200]}")


def _number(body: dict[str, Any], field: str) -> int:
    return parse_amount(body[field], field, 0)


def _check_ranges(intent: Intent) -> None:
    """Raises ValueError: building the transaction checks every number and address."""
    if not re.fullmatch("0x([0-9a-f]{2})*", intent.data):
        raise ValueError("data: must be lowercase 0x hex")
    UnsignedTransaction(intent.chain_id, 0, 0, 0, intent.gas_limit, intent.to, intent.value, b"")
    if min(intent.amount, intent.fee_max_wei) < 0 or max(intent.amount, intent.fee_max_wei) >> 256:
        raise ValueError("amount, fee_max_wei: must be 0 to 2^256-1")
    if intent.delegation is not None:
        authorization_hash(intent.chain_id, intent.delegation.delegate, intent.delegation.nonce)
    _check_sweeps(intent)


def _check_sweeps(intent: Intent) -> None:
    if intent.sweeps is None:
        return
    for w in intent.sweeps.wallets:
        if not 0 <= w.amount < 2**256 or (w.nonce is not None and intent.sweeps.delegate is None):
            raise ValueError("sweeps: an amount is out of range, or an authorisation is for nobody")
        if w.nonce is not None:
            authorization_hash(intent.chain_id, str(intent.sweeps.delegate), w.nonce)


def require_fees(request: SignRequest | CancelRequest, gas: int) -> None:
    """Refuse fees that cross or pass the intent's own cap, and nonces out of range."""
    tip_fits = request.max_priority_fee <= request.max_fee
    require(tip_fits, "bad_request", "the priority fee is above the fee")
    require(request.nonce < 2**64 - 1, "bad_request", "nonce: out of range")
    fee = gas * request.max_fee
    require(fee <= request.intent.fee_max_wei, "fee_cap", "gas would cost more than fee_max_wei")


def is_bump(last: Signed, request: SignRequest | CancelRequest) -> bool:
    """Whether nodes take these fees as a replacement of the last bytes: both must rise enough."""
    pairs = (
        (last.max_fee, request.max_fee),
        (last.max_priority_fee, request.max_priority_fee),
    )
    return all(new * BUMP_DENOMINATOR >= old * BUMP_NUMERATOR and new > old for old, new in pairs)

"""Why an entry is refused at the last moment, each reason by its name. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """In the order in which reasons are looked for and shown."""

    POOL_NOT_OPEN = "pool-not-open"
    POLICY = "policy-changed"  # another risk policy is in force than the plan was made under
    LEAVING = "leaving"  # a person ordered to leave the venue
    FLAGGED = "flagged"  # it cannot be left
    HALTED = "halted"  # its rate or price has jumped
    UNREADABLE = "unreadable"
    STALE = "stale-block"
    REFUSED = "refused-by-venue"
    CAPACITY = "capacity"
    UTILISATION = "utilisation"
    THIN = "thin-liquidity"
    NOTHING = "earns-nothing"
    RATE_MOVED = "rate-moved"
    RATE_JUMP = "rate-jump"
    RATE_DISAGREES = "rate-disagrees"
    RATE_DOUBTED = "rate-doubted"  # quoted, and stale, out of bounds or contradicted
    SHARE_JUMP = "share-price-jump"
    PRICE_UNKNOWN = "price-unknown"  # missing, stale, or two sources that disagree
    PRICE_JUMP = "price-jump"
    DEPEG = "depeg"
    GUARD_PAUSED = "guard-paused"
    GUARD_ALLOCATOR = "guard-allocator"
    GUARD_UNLISTED = "guard-unlisted"
    GUARD_IDLE = "guard-idle"
    GUARD_CAP = "guard-cap"
    GUARD_FLOW = "guard-flow"
    GUARD_SHARE = "guard-share"
    GUARD_GROUP = "guard-group"
    GUARD_PAYEE = "guard-payee"
    WOULD_REVERT = "would-revert"
    CAP = "over-limit"  # a cap of the policy, by the books of now
    GAS = "gas-ceiling"  # more than the policy lets a move cost
    SLIPPAGE = "slippage"  # more than the policy lets a move lose
    NO_MONEY = "no-free-money"


HALTING = frozenset({Code.RATE_JUMP, Code.SHARE_JUMP, Code.PRICE_JUMP})
"""What looks like somebody moving a market: no entry until it has been calm for a while."""


WAITING = frozenset({Code.GAS, Code.SLIPPAGE})
"""What may be over in a minute: a leg that only these are against waits for it a while."""


@dataclass(frozen=True, slots=True)
class Objection:
    code: Code
    reason: str


def codes_of(found: Iterable[Objection]) -> str:
    """As a leg stores them: distinct, in order, joined by commas; at most 200 characters."""
    return ",".join(dict.fromkeys(o.code.value for o in found))[:200]


def text_of(found: Iterable[Objection]) -> str:
    return "; ".join(o.reason for o in found)

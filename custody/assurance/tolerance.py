"""How far a place may be from the ledger before it is a break, and which breaks stop an asset.

A closed table, by the kind of place. Pure. The default is nothing: both sides are read at one
block by one formula, so there is nothing to round. What differs from that is said beside it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    WALLET = "wallet"  # treasury, payout, gas, ...: the scanner books what arrives there
    DEPOSIT = "deposit"  # a deposit address: the same
    UNWATCHED = "unwatched"  # a guard's idle part, the Safe: nobody books what others send there
    VENUE = "venue"
    EXCHANGE = "exchange"
    MEASURED = "measured"  # of a token whose balances change by themselves
    IN_FLIGHT = "in-flight"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Rule:
    """Base units that the place may have less or more than the ledger; None: any number.

    A break stops the asset where the place has less by more than `free`, and, with `over_stops`,
    where it has more.
    """

    short: int | None = 0
    over: int | None = 0
    free: int = 0
    over_stops: bool = True


EXACT = Rule()
PPM = 10**6
SHRINK_PPM = PPM // 100
"""What an account of a measured token may lose by itself in a day, in all: one percent. Staking
penalties have been far below it; and it bounds what a thief can have taken for a rebase."""
SHRINK_DECIMALS, SHRINK_UNITS = 8, 10
"""What transfers of such tokens lose by rounding is no shrinking: less than that at a time."""
EXCHANGE_DECIMALS = 8
"""What exchanges print of a balance."""
REWARD_SHARE = 100
"""Rewards that nobody has booked yet are less than a hundredth of what lies there, or of a coin."""


def rule_of(place: Place, *, ledger: int, decimals: int, silent: bool, may_shrink: int = 0) -> Rule:
    """`silent`: whether money can be at a wallet that the scanner has not booked: a chain's own
    coin where there are no traces, and what waits in quarantine. `may_shrink` is of a measured
    token: see there."""
    match place:
        case Place.WALLET:
            # Anybody can make a contract send a wei: that must not stop everybody's withdrawals.
            return Rule(over_stops=not silent)
        case Place.DEPOSIT | Place.UNWATCHED:
            # The same, with any token, or a deposit that waits for people. It is noted, and no
            # holder lacks anything by it: what should have left is then lacking where it went.
            return Rule(over_stops=False)
        case Place.EXCHANGE:
            least = 10 ** max(decimals - EXCHANGE_DECIMALS, 0) - 1
            return Rule(least, max(abs(ledger), 10**decimals) // REWARD_SHARE)
        case Place.MEASURED:
            # `drift.py` books these, in the log and as the operator's: beyond what a token may
            # shrink by itself nothing is booked, and people look.
            return Rule(free=may_shrink, over_stops=False)
        case Place.VENUE | Place.IN_FLIGHT | Place.HOLD:
            return EXACT


def is_break(rule: Rule, difference: int) -> bool:
    """`difference` is what the place has more than the ledger says."""
    allowed = rule.short if difference < 0 else rule.over
    return allowed is not None and abs(difference) > allowed


def stops(rule: Rule, difference: int) -> bool:
    beyond = -difference > rule.free if difference < 0 else rule.over_stops
    return is_break(rule, difference) and beyond


def may_shrink(ledger: int, decimals: int, used_ppm: int) -> int:
    """Base units that a measured token may still lose at an account that has `ledger`, where
    `used_ppm` of it were lost within a day already."""
    left = max(SHRINK_PPM - used_ppm, 0)
    return max(max(ledger, 0) * left // PPM, rounding(decimals))


def rounding(decimals: int) -> int:
    """Base units that are too few to be a loss of a measured token."""
    units: int = 10 ** max(decimals - SHRINK_DECIMALS, 0)
    return max(SHRINK_UNITS, units)


def lost_ppm(amount: int, before: int) -> int:
    """The share of `before` that one shrinking took, rounded up."""
    return -(-amount * PPM // max(before, 1))

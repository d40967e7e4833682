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

    `short_stops` and `over_stops`: whether a break of that side stops the asset.
    """

    short: int | None = 0
    over: int | None = 0
    short_stops: bool = True
    over_stops: bool = True


EXACT = Rule()
EXCHANGE_DECIMALS = 8
"""What exchanges print of a balance."""
REWARD_SHARE = 100
"""Rewards that nobody has booked yet are less than a hundredth of what lies there, or of a coin."""


def rule_of(place: Place, *, ledger: int, decimals: int, silent: bool) -> Rule:
    """`silent`: whether money can be at a wallet that the scanner has not booked: a chain's own
    coin where there are no traces, and what waits in quarantine."""
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
            # `drift.py` books these, at a later block, in the log and as the operator's loss.
            return Rule(short_stops=False, over_stops=False)
        case Place.VENUE | Place.IN_FLIGHT | Place.HOLD:
            return EXACT


def is_break(rule: Rule, difference: int) -> bool:
    """`difference` is what the place has more than the ledger says."""
    allowed = rule.short if difference < 0 else rule.over
    return allowed is not None and abs(difference) > allowed


def stops(rule: Rule, difference: int) -> bool:
    return is_break(rule, difference) and (rule.short_stops if difference < 0 else rule.over_stops)

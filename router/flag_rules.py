"""When a venue counts as one that cannot be left, and when again as one that can. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FLAG_AFTER = timedelta(hours=6)
"""How long an exit may fail or be partial: a lending market that was drained in the morning has
lent at its highest rate since, and most of them are liquid again."""
QUEUE_MAX = timedelta(days=14)
"""How long a request may lie in a queue that does not say how long it takes."""


class Fault(StrEnum):
    """Why it cannot be left, or seems so."""

    PAUSED = "paused"
    FAILING = "exit-failing"  # nothing can leave
    PARTIAL = "exit-partial"  # not all can
    UNREADABLE = "unreadable"
    NOT_REDEEMABLE = "not-redeemable"  # the exchange gives back less than it owes us
    STUCK = "stuck"  # an exit is under way and does not end


AT_ONCE = frozenset({Fault.PAUSED})
"""Somebody decided it; there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One look at the way out. `fault` None: all that lies there could leave at that block."""

    fault: Fault | None
    reason: str = ""


class Verdict(StrEnum):
    NOTHING = "nothing"
    DOUBT = "doubt"
    FLAG = "flag"
    CLEAR = "clear"


def judge(
    proof: Proof, since: datetime | None, flagged: bool, now: datetime, after: timedelta
) -> Verdict:
    """`since` is when the doubt began, None if there is none."""
    if proof.fault is None:
        return Verdict.NOTHING if since is None else Verdict.CLEAR
    if flagged:
        return Verdict.NOTHING
    if proof.fault in AT_ONCE or (since is not None and now - since >= after):
        return Verdict.FLAG
    return Verdict.DOUBT if since is None else Verdict.NOTHING

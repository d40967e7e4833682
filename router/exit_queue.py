"""The law by which free money goes to waiting exits. Pure.

Exits that fall due on one day (UTC) are one batch. Batches are served in the order of their days,
so that nobody is overtaken; within a batch free money is set aside in proportion to what each
still lacks, so that a large exit never keeps a small one of its day waiting for all of itself.
First come, first served within the day would pay whoever hears of a shortage an hour earlier; in
proportion over the whole queue would let who comes next month thin out who has waited since this.

A claim is what its shares are worth now: who waits has the gains and losses of who stays. What is
set aside is money, not yet his: where his claim has fallen below it, the rest goes back to the
others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter

from custody.ledger.split import split


@dataclass(frozen=True, slots=True)
class Claim:
    """Base units: what an exit is worth now, and what is set aside for it already."""

    batch: date
    amount: int
    set_aside: int

    @property
    def lacking(self) -> int:
        return max(self.amount - self.set_aside, 0)


def allot(free: int, claims: Sequence[Claim]) -> list[int]:
    """What is set aside for each claim after `free` more money has come.

    `free` is what is set aside for nobody; below zero, money that was set aside has gone elsewhere,
    and nothing is given. Requires the claims in the order of their batches.
    """
    kept = [min(c.set_aside, c.amount) for c in claims]
    free += sum(c.set_aside for c in claims) - sum(kept)
    given: list[int] = []
    for _, group in groupby(claims, key=attrgetter("batch")):
        lacking = [c.lacking for c in group]
        part = min(max(free, 0), sum(lacking))
        given += split(part, lacking) if part else [0] * len(lacking)
        free -= part
    return [k + g for k, g in zip(kept, given, strict=True)]

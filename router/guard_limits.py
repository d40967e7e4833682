"""The treasury guard's own limits held against an entry before it is sent. Pure.

The same arithmetic as `GuardLimits._requireWithin`: a venue counts by the larger of its book and
what it holds, the others by the book. An entry that the contract would refuse costs gas and a
nonce, and says in the log only that it reverted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chains.evm.contracts.treasury_guard import Bucket, GuardGroup, GuardVenue, VenueKind
from router.curves import BPS
from router.objections import Code, Objection


@dataclass(frozen=True, slots=True)
class GuardBook:
    """A guard at one block. `worth` is what the entered venue holds, requests included."""

    paused: bool
    allocator: str
    idle: int
    idle_min: int
    venues: Mapping[str, GuardVenue]
    groups: tuple[GuardGroup, ...]
    flow_left: int
    worth: int

    @property
    def booked(self) -> int:
        return sum(v.booked for v in self.venues.values())


def entry_objections(book: GuardBook, venue: str, amount: int, allocator: str) -> list[Objection]:
    """What the contract would say to `allocate`, in its order."""
    found = _door(book.paused, book.allocator, allocator)
    terms = book.venues.get(venue)
    if terms is None or terms.kind is VenueKind.NONE:
        return [*found, Objection(Code.GUARD_UNLISTED, "the guard does not list the venue")]
    idle = book.idle - amount
    if idle < book.idle_min:
        found.append(Objection(Code.GUARD_IDLE, f"{idle} would be idle, {book.idle_min} must be"))
    if amount > book.flow_left:
        found.append(Objection(Code.GUARD_FLOW, f"{book.flow_left} may enter now by the guard"))
    inside = max(terms.booked, book.worth) + amount
    total = idle + book.booked + amount + max(book.worth - terms.booked, 0)
    if inside > terms.cap:
        found.append(Objection(Code.GUARD_CAP, f"{inside} would be over the cap of {terms.cap}"))
    if inside * BPS > total * terms.share_max_bps:
        found.append(Objection(Code.GUARD_SHARE, f"{inside} would be over the share of {total}"))
    return found + _groups(book, venue, inside - terms.booked, total)


def _groups(book: GuardBook, venue: str, more: int, total: int) -> list[Objection]:
    """`more`: what the venue counts for above its book."""
    found = []
    for index, group in enumerate(book.groups):
        if venue not in group.venues:
            continue
        inside = sum(book.venues[v].booked for v in group.venues) + more
        if inside > group.cap or inside * BPS > total * group.share_max_bps:
            reason = f"{inside} would be over the guard's group {index}"
            found.append(Objection(Code.GUARD_GROUP, reason))
    return found


@dataclass(frozen=True, slots=True)
class PayeeBook:
    """A guard at one block, as a payment to an exchange's deposit address sees it."""

    paused: bool
    allocator: str
    idle: int
    payee: Bucket
    payees: Bucket


def release_objections(book: PayeeBook, amount: int, allocator: str) -> list[Objection]:
    """What the contract would say to `release`."""
    found = _door(book.paused, book.allocator, allocator)
    if amount > book.idle:
        found.append(Objection(Code.GUARD_IDLE, f"the guard holds {book.idle}"))
    left = min(book.payee.left, book.payees.left)
    if amount > left:
        found.append(Objection(Code.GUARD_PAYEE, f"{left} may be paid there now by the guard"))
    return found


def _door(paused: bool, known: str, allocator: str) -> list[Objection]:
    found = []
    if known != allocator:
        found.append(Objection(Code.GUARD_ALLOCATOR, "the guard has another allocator"))
    if paused:
        found.append(Objection(Code.GUARD_PAUSED, "the guard is paused"))
    return found

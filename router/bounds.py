"""From an allocation's question to what the solver takes: each venue's options, and all caps. Pure.

Caps bind on the way up only. What cannot leave, or is less than a ticket, stays: every cap is as
wide as that at least, so that the problem always has an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.curves import RAY, YEAR_S, marginal_down
from router.pieces import Cap, Item, Option
from router.problem import AllocationInput, VenueInput
from router.tiers import Limits, share_down, share_up


@dataclass(frozen=True, slots=True)
class Room:
    """lo..hi of one venue; `name` says which limit makes the upper end."""

    lo: int
    hi: int
    name: str


@dataclass(frozen=True, slots=True)
class NamedCap:
    """A cap as the solver takes it, and what the policy says before it was widened."""

    name: str
    cap: Cap
    wanted: int


@dataclass(frozen=True, slots=True)
class Bounds:
    total: int
    buffer: int
    rooms: tuple[Room, ...]
    items: tuple[Item, ...]
    caps: tuple[NamedCap, ...]
    of: tuple[tuple[int, ...], ...]
    """For each venue, which of the caps it is under."""

    def caps_of(self, venue: int) -> tuple[int, ...]:
        return self.of[venue]


def bounds_of(problem: AllocationInput) -> Bounds:
    venues = problem.venues
    total = max(problem.idle + sum(v.position for v in venues) - problem.reserved, 0)
    buffer = share_up(total, problem.limits.buffer_share_wad)
    rooms = tuple(_room(v, problem.limits, total) for v in venues)
    limits = _caps(problem, total, buffer)
    if any(v.exit_dear for v in venues):
        rooms = _only_demanded(problem, rooms, limits)
    items = tuple(
        Item(v.curve, options(v, room, problem)) for v, room in zip(venues, rooms, strict=True)
    )
    least = [item.options[0].lo for item in items]
    caps = tuple(
        NamedCap(name, Cap(members, max(room, sum(least[i] for i in members))), room)
        for name, members, room in limits
        if members
    )
    of: list[list[int]] = [[] for _ in venues]
    for n, named in enumerate(caps):
        for i in named.cap.members:
            of[i].append(n)
    return Bounds(total, buffer, rooms, items, caps, tuple(map(tuple, of)))


def slowed(problem: AllocationInput, bounds: Bounds, wanted: Sequence[int]) -> Bounds:
    """The same with no more moves than the turnover allows, those that earn most first.

    Idle money moves once, all else twice: out of one venue and into another. Exits that a limit
    demands are no turnover, so they go on.
    """
    most = problem.rule.turnover_max
    assert most is not None
    idle = max(bounds.total - bounds.buffer - sum(v.position for v in problem.venues), 0)
    rooms, entered = _fewer_entries(
        problem, bounds, wanted, most if most <= idle else (most + idle) // 2
    )
    rooms = _fewer_exits(problem, bounds, rooms, wanted, most - entered)
    items = tuple(
        Item(v.curve, options(v, room, problem))
        for v, room in zip(problem.venues, rooms, strict=True)
    )
    return replace(bounds, rooms=tuple(rooms), items=items)


def _fewer_entries(
    problem: AllocationInput, bounds: Bounds, wanted: Sequence[int], left: int
) -> tuple[list[Room], int]:
    """Entries that sum up to `left` at most, and what they sum up to. What is left for one but less
    than a ticket or than the least size goes to the next."""
    rooms, entered, venues = list(bounds.rooms), 0, problem.venues
    entering = {i for i, v in enumerate(venues) if wanted[i] > v.position}
    for i in sorted(entering, key=lambda i: (-marginal_down(venues[i].curve, wanted[i]), i)):
        held, taken = venues[i].position, min(wanted[i] - venues[i].position, left - entered)
        if taken < problem.rule.ticket or held + taken < venues[i].size_min:
            taken = 0
        entered += taken
        if taken < wanted[i] - held or held + taken < rooms[i].hi:
            rooms[i] = Room(rooms[i].lo, max(held + taken, rooms[i].lo), "turnover")
    for i, venue in enumerate(venues):
        if i not in entering and rooms[i].hi > venue.position:
            rooms[i] = Room(rooms[i].lo, venue.position, "turnover")
    return rooms, entered


def _fewer_exits(
    problem: AllocationInput,
    bounds: Bounds,
    rooms: Sequence[Room],
    wanted: Sequence[int],
    left: int,
) -> list[Room]:
    """Exits that no limit demands sum up to `left` at most, those of what earns least first."""
    found, venues = list(rooms), problem.venues
    demanded = {i for i, v in enumerate(venues) if v.position > bounds.rooms[i].hi}
    for named in bounds.caps:
        members = named.cap.members
        if sum(venues[i].position for i in members) > named.cap.room:
            demanded.update(members)
    free = [i for i, v in enumerate(venues) if i not in demanded and v.position > 0]
    for i in sorted(free, key=lambda i: (marginal_down(venues[i].curve, venues[i].position), i)):
        held = venues[i].position
        lo = max(rooms[i].lo, held - left, min(wanted[i], held))
        too_small = rooms[i].lo < lo < venues[i].size_min  # to keep what is left of it
        if held - lo < problem.rule.ticket or too_small:
            lo = held
        left -= held - lo
        found[i] = Room(lo, rooms[i].hi, rooms[i].name)
    return found


def _room(venue: VenueInput, limits: Limits, total: int) -> Room:
    """The bounds of one venue's amount, and the name of what makes the upper one."""
    rule = limits.venues[venue.id]
    choices = [
        (rule.amount_max, "cap"),
        (share_down(total, rule.share_max_wad), "share_max"),
    ]
    if venue.amount_max is not None:
        choices.append((venue.amount_max, venue.limit))
    if venue.capacity is not None:
        choices.append((venue.position + venue.capacity, "capacity"))
    if venue.refusal:
        choices.append((venue.position, "refusal"))
    if venue.enter_dear:
        choices.append((venue.position, "cost"))
    hi, name = min(choices, key=lambda c: c[0])
    lo = venue.position - min(venue.withdrawable, venue.position)
    return Room(lo, max(hi, lo), name if hi >= lo else "stuck")


Limit = tuple[str, tuple[int, ...], int]
"""A limit's name, the venues under it, and what they may hold together."""


def _only_demanded(
    problem: AllocationInput, rooms: Sequence[Room], limits: Sequence[Limit]
) -> tuple[Room, ...]:
    """The rooms, with no more to leave a venue that is dear to leave than some limit demands: what
    is over it comes first from what earns least. Never less than a ticket, which is the least that
    can leave."""
    venues, ticket = problem.venues, problem.rule.ticket
    leaving = [max(v.position - room.hi, 0) for v, room in zip(venues, rooms, strict=True)]
    for _, members, most in limits:
        over = sum(venues[i].position for i in members) - most
        dear = [i for i in members if venues[i].exit_dear]
        for i in sorted(
            dear, key=lambda i: (marginal_down(venues[i].curve, venues[i].position), i)
        ):
            if over <= 0:
                break
            part = min(max(over, ticket), venues[i].position - rooms[i].lo)
            leaving[i], over = max(leaving[i], part), over - part
    return tuple(
        _kept(v, room, out) if v.exit_dear else room
        for v, room, out in zip(venues, rooms, leaving, strict=True)
    )


def _kept(venue: VenueInput, room: Room, leaving: int) -> Room:
    """The room without what need not leave. What it would leave below the least size goes whole."""
    lo = max(room.lo, venue.position - leaving)
    too_small = leaving > 0 and room.lo <= lo < venue.size_min
    return room if too_small else replace(room, lo=lo)


def options(venue: VenueInput, room: Room, problem: AllocationInput) -> tuple[Option, ...]:
    """Leaving by a ticket or more, staying, entering by a ticket or more; never less than the least
    size. Staying is not among them where it is over the limit, by a ticket, and can be helped."""
    held, ticket, least = venue.position, problem.rule.ticket, venue.size_min
    found: list[Option] = []
    out, into = _yearly(venue.exit_cost, problem), _yearly(venue.enter_cost, problem)
    leaving = min(room.hi, held - ticket)
    if room.lo <= leaving:
        if room.lo < least:
            found.append(Option(room.lo, room.lo, out))
        if max(room.lo, least) <= leaving:
            found.append(Option(max(room.lo, least), leaving, out))
    if held - room.hi < ticket or not found:
        found.append(Option(held, held))
    entering = max(held + ticket, least)
    if entering <= room.hi:
        found.append(Option(entering, room.hi, into))
    return _joined(found)


def _joined(found: Sequence[Option]) -> tuple[Option, ...]:
    """Neighbours at one cost are one: with a ticket of a unit and no costs there is no gap."""
    kept: list[Option] = []
    for option in found:
        if kept and kept[-1].hi + 1 >= option.lo and kept[-1].cost_ray == option.cost_ray:
            kept[-1] = Option(kept[-1].lo, option.hi, option.cost_ray)
        else:
            kept.append(option)
    return tuple(kept)


def _yearly(cost: int, problem: AllocationInput) -> int:
    """A cost once in a horizon, as if it were paid every year; in ray, rounded up."""
    return -(-cost * YEAR_S * RAY // problem.rule.horizon_s)


def _caps(problem: AllocationInput, total: int, buffer: int) -> list[Limit]:
    venues, limits = problem.venues, problem.limits
    found = [("liquidity_buffer", tuple(range(len(venues))), total - buffer)]
    for tier, share in limits.tiers.items():
        members = tuple(i for i, v in enumerate(venues) if v.tier is tier)
        found.append((f"tier:{tier.value}", members, share_down(total, share)))
    for group in problem.groups:
        members = tuple(i for i, v in enumerate(venues) if v.id in group.venues)
        found.append((f"group:{group.name}", members, group.cap))
    return found

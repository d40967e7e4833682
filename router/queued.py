"""When money that waits in venues' exit queues is home, by what the queues say at one block."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains.evm.contracts.staking import ExitRequest, Staking
from chains.types import BlockRef
from router.books import Pool, VenueRow
from router.deps import RouterDeps
from router.legs import Leg
from router.states import LegState
from router.venues.factory import NO_ANSWER
from router.venues.port import VenueState


@dataclass(frozen=True, slots=True)
class Coming:
    """`amount` base units are home within `seconds`."""

    seconds: int
    amount: int


async def coming(
    deps: RouterDeps,
    pool: Pool,
    rows: Sequence[VenueRow],
    moving: Sequence[Leg],
    states: Mapping[str, VenueState | None],
    block: BlockRef,
) -> dict[str, tuple[Coming, ...]]:
    """By venue; not one with nothing in its queue, or that does not answer, or does not move."""
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    for leg in moving:
        if leg.state is LegState.QUEUED and leg.request_id is not None:
            waiting[leg.venue_id].append(leg.request_id)
    found = {}
    for row in rows:
        state = states[row.id]
        if row.kind != "staking" or state is None or state.exit_s is None or not waiting[row.id]:
            continue
        client = deps.clients[pool.chain_id]
        queue = Staking(client, row.config["token"], row.config["queue"])
        try:
            requests = await queue.exits(waiting[row.id], block.number)
        except NO_ANSWER:
            continue
        found[row.id] = of_requests(requests, state.exit_s, block.timestamp)
    return {id_: left for id_, left in found.items() if left}


def of_requests(requests: Sequence[ExitRequest], exit_s: int, now_s: int) -> tuple[Coming, ...]:
    """What a queue that takes `exit_s` still has of ours. Pure.

    A request that is overdue and not ripe is in none: the queue does not move, and nobody knows
    when it will.
    """
    left = [(r, 0 if r.finalized else r.requested_s + exit_s - now_s) for r in requests]
    return tuple(
        Coming(seconds, r.amount)
        for r, seconds in left
        if not r.claimed and (r.finalized or seconds > 0)
    )

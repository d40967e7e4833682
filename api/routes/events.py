"""The tenant's feed of the log: its own entries, numbered without a gap, each with its proof."""

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.answers import Limit, Shape, answer
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.followers import tenant_events
from api.followers.tenant_events import Event
from api.routes.log_files import SEQ_MAX, proved
from api.routing import Routes
from custody.audit import merkle, proof
from custody.audit.checkpoint import latest_checkpoint
from custody.core.clock import iso_us
from custody.core.errors import NotFound
from custody.core.serialization import loads

routes = Routes("events")


class EventView(Shape):
    """`number` counts the tenant's events from 0 without a gap; `seq` is the entry's in the log.

    `leaf` is the text that the leaf hash is over, `hashes` lead from it to the checkpoint's root.
    """

    number: int
    seq: int
    kind: str
    at: str
    leaf: str
    entry: dict[str, Any]
    hashes: list[str]


class EventPage(Shape):
    """`next` is the number to ask from the next time, also where there is nothing new yet."""

    items: list[EventView]
    next: str
    size: str
    checkpoint: str


def _event(event: Event, node: merkle.Node, size: int) -> dict[str, Any]:
    found = proof.inclusion(node, event.seq, size)
    return {
        "number": event.number,
        "seq": event.seq,
        "kind": event.kind,
        "at": iso_us(event.at),
        "leaf": event.body.decode(),
        "entry": loads(event.body),
        "hashes": [h.hex() for h in found.hashes],
    }


@routes.get("/v1/events", access=STAFF, command="events list", answer=EventPage)
async def listing(
    who: Who,
    deps: UseDeps,
    start: Annotated[int, Query(ge=0, le=SEQ_MAX, description="first number")] = 0,
    limit: Limit = 50,
) -> Response:
    """The tenant's events in order; whoever keeps `next` misses none and gets none twice."""
    async with deps.db.snapshot() as s:
        found = await tenant_events.feed(s, who.tenant_id, start, limit)
        head = await latest_checkpoint(s)
    if head is None:
        raise NotFound("checkpoint", "latest")
    size = head.size
    items = proved(deps, size, lambda node: [_event(event, node, size) for event in found])
    following = found[-1].number + 1 if found else start
    return answer(
        {
            "items": items,
            "next": str(following),
            "size": str(size),
            "checkpoint": head.note,
        }
    )

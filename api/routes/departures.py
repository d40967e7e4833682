"""Leave a venue now, and let it in again: the first takes one person, the second two."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape
from api.auth.access import TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routing import Routes
from api.writes import MoneyWrite
from custody.core.db import WriteSession
from custody.core.errors import Refused
from custody.core.ids import format_id
from router import departures

routes = Routes("departures")
VENUE = "^[a-z0-9][a-z0-9-]{0,62}$"


class Departure(Shape):
    venue: str = Field(pattern=VENUE)
    reason: str = Field(min_length=1, max_length=500)


class Reopening(Shape):
    venue: str = Field(pattern=VENUE)


class DepartureView(Shape):
    pool: str
    venue: str
    state: str = Field(description="leaving: nothing enters, all goes home; or reopened")


def _view(pool_id: str, venue: str, state: str) -> dict[str, Any]:
    return {"pool": pool_id, "venue": venue, "state": state}


@routes.post(
    "/v1/pools/{pool_id}/departures",
    access=TREASURY,
    command="venues leave",
    answer=DepartureView,
    status=201,
)
async def leave(
    pool_id: str, body: Departure, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Bring everything home from one venue, now as far as it lets us, and until it is home."""
    id_ = pool_id_of(pool_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        await departures.order(
            s, who.tenant_id, id_, body.venue, by=who.idempotency_principal, reason=body.reason,
            at=deps.clock.now(),
        )  # fmt: skip
        return _view(format_id("pool", id_), body.venue, "leaving")

    return await write.run(work)


@routes.post(
    "/v1/pools/{pool_id}/reopenings",
    access=TREASURY,
    command="venues reopen",
    answer=DepartureView,
    status=201,
)
async def reopen(
    pool_id: str, body: Reopening, who: Who, deps: UseDeps, write: MoneyWrite
) -> Response:
    """Let money into a venue again that was left by order. It takes a second person's word, so the
    token has to be a person's: one human may have many that are not."""
    id_ = pool_id_of(pool_id)
    if who.person_id is None:
        raise Refused("token", "must be bound to a person: two have to agree")
    by = format_id("person", who.person_id)

    async def work(s: WriteSession) -> dict[str, Any]:
        state = await departures.reopen(
            s, who.tenant_id, id_, body.venue, by=by, at=deps.clock.now()
        )
        return _view(format_id("pool", id_), body.venue, state.value)

    return await write.run(work)

"""Freezes of the tenant, an asset or a destination: one person stops, signatures lift.

Everything at once is the operator's: /v1/signer/freeze.
"""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer, page, parse_time
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import PersonSignature, signatures
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import format_id, parse_id
from custody.policy import freezes
from custody.policy.freezes import Freeze

routes = Routes("freezes")


class NewFreeze(Shape):
    scope: Literal["tenant", "asset", "destination"]
    value: str = Field(default="", max_length=200, description="asset id or address")


class Lift(Shape):
    signatures: list[PersonSignature] = Field(min_length=1, max_length=10)


class FreezeView(Shape):
    freeze: str
    scope: str
    value: str
    frozen_at: str
    lifted_at: str | None


class FreezePage(Shape):
    items: list[FreezeView]
    next: str | None


def _view(f: Freeze) -> dict[str, Any]:
    return {
        "freeze": format_id("freeze", f.id),
        "scope": f.scope,
        "value": f.value,
        "frozen_at": iso_us(f.frozen_at),
        "lifted_at": None if f.lifted_at is None else iso_us(f.lifted_at),
    }


@routes.get("/v1/freezes", access=STAFF, command="freezes list", answer=FreezePage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Newest first, lifted ones too."""
    async with deps.db.read() as s:
        found = await freezes.every(s, who.tenant_id)
    return page([_view(f) for f in found], None)


@routes.post("/v1/freezes", access=TREASURY, command="freezes set", answer=FreezeView, status=201)
async def freeze(body: NewFreeze, who: Who, deps: UseDeps) -> Response:
    """Stop at once, across restarts. One that is there stays as it is."""
    if (body.value == "") is not (body.scope == "tenant"):
        raise InvalidInput("value", "must be an asset or an address, and empty for the tenant")
    tenant = format_id("tenant", who.tenant_id)
    name, at = await deps.signer.freeze_scope(tenant, body.scope, body.value)
    id_, since = parse_id("freeze", name), parse_time(at, "frozen_at")
    # Its own transaction, opened only now: the signer has stopped.
    async with deps.db.write() as s:
        made = await freezes.record(s, who.tenant_id, id_, body.scope, body.value, at=since)
    return answer(_view(made), 201)


@routes.post(
    "/v1/freezes/{freeze_id}/lift", access=TREASURY, command="freezes lift", answer=FreezeView
)
async def lift(freeze_id: str, body: Lift, who: Who, deps: UseDeps) -> Response:
    """Lift one freeze with signatures of the tenant's treasury over it."""
    try:
        id_ = parse_id("freeze", freeze_id, "freeze_id")
    except InvalidInput:
        raise NotFound("freeze", freeze_id, "freeze_id") from None
    signed = signatures(body.signatures)
    async with deps.db.read() as s:
        await freezes.get(s, who.tenant_id, id_)
    await deps.signer.lift(format_id("tenant", who.tenant_id), freeze_id, signed)
    async with deps.db.write() as s:
        lifted = await freezes.lift(s, who.tenant_id, id_, signed, at=deps.clock.now())
    return answer(_view(lifted))

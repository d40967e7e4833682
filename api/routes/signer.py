"""The signer's own account of itself, and its kill switch."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import OPERATOR, OPERATOR_STAFF
from api.deps import UseDeps
from api.routing import Routes
from custody.core.ids import parse_id

routes = Routes("signer")


class SignerStatus(Shape):
    """`tenants`: version and hash of each policy, and what may pass without a person."""

    frozen_at: str | None
    tenants: list[dict[str, Any]]


class Frozen(Shape):
    frozen_at: str


class Unfreeze(Shape):
    person: str
    signature: str = Field(max_length=128, description="over the freeze that is to be lifted")


@routes.get("/v1/signer", access=OPERATOR_STAFF, command="keys status", answer=SignerStatus)
async def status(deps: UseDeps) -> Response:
    """Frozen or not, and the bound of what passes unattended."""
    found = await deps.signer.status()
    return answer({"frozen_at": found["frozen_at"], "tenants": found["tenants"]})


@routes.post("/v1/signer/freeze", access=OPERATOR, command="keys freeze", answer=Frozen)
async def freeze(deps: UseDeps) -> Response:
    """Stop all signing of transactions, at once and across restarts."""
    return answer({"frozen_at": await deps.signer.freeze()})


@routes.post("/v1/signer/unfreeze", access=OPERATOR, command="keys unfreeze", answer=SignerStatus)
async def unfreeze(body: Unfreeze, deps: UseDeps) -> Response:
    """Lift a freeze with an enrolled person's signature."""
    parse_id("person", body.person, "person")
    await deps.signer.unfreeze(body.person, body.signature)
    return await status(deps)

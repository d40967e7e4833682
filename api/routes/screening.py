"""The list of destinations that nothing is paid to. Without a list no withdrawal goes on."""

from pydantic import Field
from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import OPERATOR
from api.auth.guard import Who
from api.deps import UseDeps
from api.inputs import checked_address
from api.routing import Routes
from api.writes import Writing
from custody.withdrawals import screen

routes = Routes("screening")
ADDRESSES_MAX = 1_000


class NewList(Shape):
    addresses: list[str] = Field(max_length=ADDRESSES_MAX, description="EIP-55; may be empty")


class LoadedList(Shape):
    version: int
    addresses: int


@routes.post(
    "/v1/screening-lists", access=OPERATOR, command="screening load", answer=LoadedList, status=201
)
async def load(body: NewList, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Replace the screening list as a whole, for the whole installation."""
    for i, address in enumerate(body.addresses):
        checked_address(address, f"addresses.{i}")
    version = await screen.load(s, who.tenant_id, body.addresses, at=deps.clock.now())
    return answer({"version": version, "addresses": len(set(body.addresses))}, 201)

"""Staff as enrolled: by the ceremony, or by a document of the authority's (`enrolments`)."""

from starlette.responses import Response

from api.answers import Shape, page
from api.auth.access import STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.ids import format_id
from custody.parties import people

routes = Routes("people")


class PersonView(Shape):
    id: str
    role: str
    public_key: str
    enrolled_at: str
    active: bool


class PersonPage(Shape):
    items: list[PersonView]
    next: str | None


@routes.get("/v1/people", access=STAFF, command="people list", answer=PersonPage)
async def listing(who: Who, deps: UseDeps) -> Response:
    """Everybody whose signature may count, and who they are by key."""
    async with deps.db.read() as s:
        found = await people.every(s, who.tenant_id)
    items = [
        {
            "id": format_id("person", p.id),
            "role": p.role,
            "public_key": p.public_key.hex(),
            "enrolled_at": iso_us(p.enrolled_at),
            "active": p.is_active,
        }
        for p in found
    ]
    return page(items, None)

"""The queue of those who leave a pool: whose turn it is, and how much comes before."""

from typing import Any

from starlette.responses import Response

from api.answers import Shape, page
from api.auth.access import OWN
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.ids import format_id
from router import exits
from router.exits import Waiting

routes = Routes("exits")


class ExitView(Shape):
    """`amount` is what it is worth now less `fee`, `set_aside` the part of it that is there.

    `before` is what exits of earlier days lack, which is paid first; `together` what those of its
    own day lack: money is set aside for these in proportion. `on_its_way` is the part that has left
    the queue and is not paid yet, and no more in `shares` and `amount`; `paid` has been paid.
    """

    redemption: str
    customer: str
    state: str
    position: int
    shares: str
    amount: str
    fee: str
    set_aside: str
    on_its_way: str
    paid: str
    before: str
    together: str
    due_at: str
    requested_at: str


class ExitPage(Shape):
    items: list[ExitView]
    next: str | None


def _view(waiting: Waiting) -> dict[str, Any]:
    return {
        "redemption": format_id("redemption", waiting.id),
        "customer": format_id("customer", waiting.customer_id),
        "state": waiting.state,
        "position": waiting.position,
        **{
            name: str(getattr(waiting, name))
            for name in (
                *("shares", "amount", "fee", "set_aside", "on_its_way", "paid", "before"),
                "together",
            )
        },
        "due_at": iso_us(waiting.due_at),
        "requested_at": iso_us(waiting.created_at),
    }


@routes.get("/v1/pools/{pool_id}/exits", access=OWN, command="exits list", answer=ExitPage)
async def listing(pool_id: str, who: Who, deps: UseDeps) -> Response:
    """Exits that wait or are on their way, in their order: a holder's own with what is before
    them; all for staff."""
    async with deps.db.snapshot() as s:
        found = await exits.waiting(s, who.tenant_id, pool_id_of(pool_id), deps.clock.now())
    mine = who.customer_id
    return page([_view(w) for w in found if mine is None or w.customer_id == mine], None)

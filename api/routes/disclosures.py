"""Personal data opened to an auditor: treasury opens and closes, the auditor's bundle has it."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, page
from api.auth.access import STAFF, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import Writing
from custody.assurance import grants
from custody.assurance.grants import Grant
from custody.core.clock import iso_us
from custody.core.ids import format_id, parse_id
from custody.parties.tokens import Role

routes = Routes("audit")
WEEK_S = 7 * 86_400


class NewDisclosure(Shape):
    customers: list[str] = Field(
        min_length=1, max_length=grants.SUBJECTS_MAX, description="whose personal data is opened"
    )
    auditor: str = Field(description="id of the auditor's token that may take it")
    ttl_s: int = Field(
        default=WEEK_S, ge=60, le=grants.TTL_MAX_S, description="seconds until it ends"
    )


class DisclosureView(Shape):
    id: str
    customers: list[str]
    auditor: str
    opened_by: str
    opened_at: str
    expires_at: str
    closed_at: str | None
    closed_by: str | None


class DisclosurePage(Shape):
    items: list[DisclosureView]
    next: str | None


def _view(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.label,
        "customers": grant.people,
        "auditor": format_id("token", grant.token_id),
        "opened_by": grant.opened_by,
        "opened_at": iso_us(grant.opened_at),
        "expires_at": iso_us(grant.expires_at),
        "closed_at": None if grant.closed_at is None else iso_us(grant.closed_at),
        "closed_by": grant.closed_by,
    }


@routes.post(
    "/v1/audit/disclosures",
    access=TREASURY,
    command="audit disclose",
    answer=DisclosureView,
    status=201,
)
async def open_(body: NewDisclosure, who: Who, deps: UseDeps, s: Writing) -> Response:
    """Open customers' personal data to one auditor's token, for a time. The log says so.

    The auditor gets it in a bundle (`audit bundle --disclosure`), with the salts that prove it.
    """
    made = await grants.open_(
        s,
        who.tenant_id,
        parse_id("token", body.auditor, "auditor"),
        [parse_id("customer", c, f"customers.{i}") for i, c in enumerate(body.customers)],
        by=who.idempotency_principal,
        at=deps.clock.now(),
        ttl_s=body.ttl_s,
    )
    return answer(_view(made), 201)


@routes.get(
    "/v1/audit/disclosures", access=STAFF, command="audit disclosures", answer=DisclosurePage
)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """What was opened to whom, oldest first; an auditor sees what is opened to the own token."""
    own = who.token_id if who.role is Role.AUDITOR else None
    async with deps.db.read() as s:
        after = cursor_id("disclosure", cursor)
        found = await grants.listing(s, who.tenant_id, own, after, limit)
    return page([_view(g) for g in found], next_id("disclosure", [g.id for g in found], limit))


@routes.delete(
    "/v1/audit/disclosures/{disclosure_id}",
    access=TREASURY,
    command="audit close-disclosure",
    answer=DisclosureView,
)
async def close(disclosure_id: str, who: Who, deps: UseDeps, s: Writing) -> Response:
    """End it now. What was taken before stays with the auditor."""
    id_ = parse_id("disclosure", disclosure_id, "disclosure_id")
    by, now = who.idempotency_principal, deps.clock.now()
    return answer(_view(await grants.close(s, who.tenant_id, id_, by=by, at=now)))

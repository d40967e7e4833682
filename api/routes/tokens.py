"""Bearer tokens: issued and revoked by treasury staff; the text is shown once."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.answers import Cursor, Limit, Shape, answer, cursor_id, next_id, optional_id, page
from api.auth.access import ANYONE, TREASURY
from api.auth.guard import Who
from api.deps import UseDeps
from api.routing import Routes
from api.writes import Writing
from custody.core.clock import iso_us
from custody.core.ids import format_id, parse_id
from custody.parties import customers, people, tenants, tokens
from custody.parties.tokens import Role, Token

routes = Routes("tokens")
TTL_MAX_S = 366 * 86_400


class NewToken(Shape):
    role: Literal["holder", "treasury", "auditor"]
    customer: str | None = Field(default=None, description="for a holder's token, whose it is")
    person: str | None = Field(default=None, description="for staff: who holds it")
    ttl_s: int = Field(default=86_400, ge=60, le=TTL_MAX_S, description="seconds until it ends")


class TokenView(Shape):
    id: str
    role: str
    customer: str | None
    person: str | None
    created_at: str
    expires_at: str
    revoked_at: str | None


class IssuedToken(TokenView):
    token: str = Field(description="the secret; it is not stored and cannot be shown again")


class TokenPage(Shape):
    items: list[TokenView]
    next: str | None


class Me(Shape):
    token: str
    tenant: str
    tenant_name: str
    role: str
    customer: str | None
    person: str | None


def _view(token: Token) -> dict[str, Any]:
    return {
        "id": format_id("token", token.id),
        "role": token.role.value,
        "customer": optional_id("customer", token.customer_id),
        "person": optional_id("person", token.person_id),
        "created_at": iso_us(token.created_at),
        "expires_at": iso_us(token.expires_at),
        "revoked_at": None if token.revoked_at is None else iso_us(token.revoked_at),
    }


async def _subjects(s: Writing, who: Who, body: NewToken) -> tuple[UUID | None, UUID | None]:
    """Customer and person of the new token. Raises NotFound for those of another tenant."""
    customer = person = None
    if body.customer is not None:
        wanted = parse_id("customer", body.customer, "customer")
        customer = (await customers.get(s, who.tenant_id, wanted, "customer")).id
    if body.person is not None:
        wanted = parse_id("person", body.person, "person")
        person = (await people.get(s, who.tenant_id, wanted, "person")).id
    return customer, person


@routes.post("/v1/tokens", access=TREASURY, command="tokens create", answer=IssuedToken, status=201)
async def create(body: NewToken, who: Who, deps: UseDeps, s: Writing) -> Response:
    """A new token of one role. Staff tokens for approvers name their person."""
    now = deps.clock.now()
    customer, person = await _subjects(s, who, body)
    token, secret = await tokens.issue(
        s,
        who.tenant_id,
        Role(body.role),
        at=now,
        expires_at=now + timedelta(seconds=body.ttl_s),
        customer_id=customer,
        person_id=person,
    )
    return answer({**_view(token), "token": secret}, 201)


@routes.get("/v1/tokens", access=TREASURY, command="tokens list", answer=TokenPage)
async def listing(who: Who, deps: UseDeps, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The tenant's tokens, oldest first, without their secrets."""
    async with deps.db.read() as s:
        found = await tokens.listing(s, who.tenant_id, cursor_id("token", cursor), limit)
    return page([_view(t) for t in found], next_id("token", [t.id for t in found], limit))


@routes.delete("/v1/tokens/{token_id}", access=TREASURY, command="tokens revoke", answer=TokenView)
async def revoke(token_id: str, who: Who, deps: UseDeps, s: Writing) -> Response:
    """End a token now. Other workers notice within two seconds."""
    id_ = parse_id("token", token_id, "token_id")
    token = await tokens.revoke(s, who.tenant_id, id_, at=deps.clock.now())
    deps.tokens.forget(token)
    return answer(_view(token))


@routes.get("/v1/me", access=ANYONE, command="tokens me", answer=Me)
async def me(who: Who, deps: UseDeps) -> Response:
    """Whose token this is."""
    async with deps.db.read() as s:
        tenant = await tenants.get(s, who.tenant_id)
    return answer(
        {
            "token": who.label,
            "tenant": format_id("tenant", who.tenant_id),
            "tenant_name": tenant.name,
            "role": who.role.value,
            "customer": optional_id("customer", who.customer_id),
            "person": optional_id("person", who.person_id),
        }
    )

"""The dependency that runs before every route but the public ones: who asks, and may they."""

from typing import Annotated

from fastapi import Depends, Request

from api.auth.access import Access, Scope
from api.auth.principal import Principal
from api.deps import Deps, deps_of
from api.routing import rule_of
from custody.audit import log
from custody.core.errors import Forbidden, Unauthenticated
from custody.parties.tokens import PREFIX, Role

_BEARER = "Bearer "
_SECRET_MAX = 128


def bearer(header: str | None) -> str:
    """The token's text. Raises Unauthenticated for anything that cannot be one of ours."""
    if header is None or not header.startswith(_BEARER):
        raise Unauthenticated("a bearer token is required")
    secret = header[len(_BEARER) :]
    if not secret.startswith(PREFIX) or len(secret) > _SECRET_MAX or not secret.isascii():
        raise Unauthenticated("this is not a token of this service")
    return secret


def authorise(who: Principal, access: Access) -> None:
    """Raises Forbidden. Requires a scope other than PUBLIC."""
    if who.role not in access.roles:
        raise Forbidden(f"role {who.role.value} may not do this")
    if access.scope is Scope.INSTALLATION and not who.is_founding:
        raise Forbidden("only the tenant that runs the installation may do this")


async def _record_read(deps: Deps, who: Principal, request: Request) -> None:
    """An auditor's read is in the log before its answer leaves; no entry, no answer."""
    async with deps.db.write() as s:
        data = {
            "token": who.label,
            "route": rule_of(request).path,
            "object": request.url.path,
            "method": request.method,
        }
        await log.append(s, who.tenant_id, "data.read", data, at=deps.clock.now())


async def current(request: Request) -> Principal:
    """Raises Unauthenticated or Forbidden."""
    deps = deps_of(request)
    secret = bearer(request.headers.get("authorization"))
    who = await deps.tokens.verify(deps.db, secret, deps.clock.now())
    if who is None:
        raise Unauthenticated("the token is unknown, expired or revoked")
    authorise(who, rule_of(request).access)
    if who.role is Role.AUDITOR:
        await _record_read(deps, who, request)
    return who


Who = Annotated[Principal, Depends(current)]

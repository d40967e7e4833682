"""The dependency that runs before every route but the public ones: who asks, and may they."""

from typing import Annotated

from fastapi import Depends, Request

from api.auth.access import Access, Scope
from api.auth.principal import Principal
from api.deps import Deps, deps_of
from api.routing import rule_of
from custody.audit import log
from custody.core.errors import Forbidden, InvalidInput, Unauthenticated
from custody.parties.tokens import PREFIX, Role

_BEARER = "Bearer "
_SECRET_MAX = 128
PATH_MAX = 511
QUERY_MAX = 512


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


def _object(request: Request) -> str:
    """Path and query of a read, as long as an entry may hold of each."""
    path, query = request.scope["path"][:PATH_MAX], request.scope["query_string"][:QUERY_MAX]
    return f"{path}?{query.decode('latin-1')}" if query else path


def _require_text(request: Request) -> None:
    """Raises InvalidInput for a NUL, which no text of ours can hold, in path or query."""
    if "\0" in request.scope["path"]:
        raise InvalidInput("path", "must not contain NUL")
    if b"%00" not in request.scope["query_string"]:
        return
    for name, value in request.query_params.multi_items():
        if "\0" in name or "\0" in value:
            raise InvalidInput(name.replace("\0", ""), "must not contain NUL")


async def _record_read(deps: Deps, who: Principal, request: Request) -> None:
    """An auditor's read is in the log before its answer leaves; no entry, no answer."""
    async with deps.db.write() as s:
        data = {
            "token": who.label,
            "route": rule_of(request).path,
            "object": _object(request),
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
    _require_text(request)
    if who.role is Role.AUDITOR:
        await _record_read(deps, who, request)
    return who


Who = Annotated[Principal, Depends(current)]

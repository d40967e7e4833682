"""Every error becomes a problem document; what went wrong inside stays inside."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.problems import MEDIA_TYPE, problem
from chains.errors import ChainError
from custody.core.errors import MoorageError
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.core.serialization import dumps

logger = logging.getLogger(__name__)

_HTTP_CODES = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
_RETRY = {"Retry-After": "1"}
# Serialization failure, deadlock, and "too many connections": nothing happened, ask again.
_TRANSIENT_SQLSTATES = frozenset({"40001", "40P01", "53300", "57P01", "57P03"})
# A NUL in text, and in jsonb. Bodies and queries are checked before; this is the net below them.
_TEXT_SQLSTATES = frozenset({"22021", "22P05"})


def _respond(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    rule: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = problem(status, code, detail, field=field, rule=rule)
    return Response(dumps(body), status, media_type=MEDIA_TYPE, headers=headers)


async def on_moorage_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MoorageError)
    if error.status >= 500:
        logger.error(error.code, exc_info=error)
    detail = "an internal error; the service's log has it" if error.status == 500 else error.detail
    field, rule = error.values.get("field"), error.values.get("rule")
    headers = _RETRY if error.status == 503 else None
    if error.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return _respond(
        error.status,
        error.code,
        detail,
        field=None if field is None else str(field),
        rule=None if rule is None else str(rule),
        headers=headers,
    )


def _field(location: tuple[int | str, ...]) -> str:
    """`("body", "amounts", 0)` -> `amounts.0`: the name that the caller used."""
    return ".".join(str(part) for part in location[1:]) or str(location[0])


async def on_invalid_shape(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field, rule = _field(first["loc"]), first["msg"]
    if first["type"] == "json_invalid":
        field = "body"  # FastAPI gives the place in the text
    if first["type"] == "extra_forbidden":
        rule = "is not a field of this request"
    return _respond(422, "invalid-input", f"{field}: {rule}", field=field, rule=rule)


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "http-error")
    return _respond(error.status_code, code, str(error.detail), headers=error.headers)


async def on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    transient = isinstance(error, InterfaceError) or error.connection_invalidated
    if transient or state in _TRANSIENT_SQLSTATES:
        return await on_busy_database(request, error)
    if state in _TEXT_SQLSTATES:
        return _respond(400, "invalid-input", "text must not contain NUL", rule="no NUL")
    return await on_any_error(request, error)


async def on_busy_database(request: Request, error: Exception) -> Response:
    return _respond(503, "unavailable", "the database is busy; try again", headers=_RETRY)


async def on_signer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, SignerRefused):
        return _respond(422, "signer-refused", str(error), field="signer", rule=error.rule)
    return _respond(503, "unavailable", "the signer does not answer", headers=_RETRY)


async def on_chain_error(request: Request, error: Exception) -> Response:
    logger.warning("chain not read", exc_info=error)
    return _respond(503, "unavailable", "the chain cannot be read now", headers=_RETRY)


async def on_any_error(request: Request, error: Exception) -> Response:
    logger.error("unhandled", exc_info=error)
    return _respond(500, "internal", "an internal error; the service's log has it")


def install(app: FastAPI) -> None:
    app.add_exception_handler(MoorageError, on_moorage_error)
    app.add_exception_handler(RequestValidationError, on_invalid_shape)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(DBAPIError, on_database_error)
    app.add_exception_handler(PoolTimeout, on_busy_database)
    app.add_exception_handler(SignerRefused, on_signer_error)
    app.add_exception_handler(SignerUnavailable, on_signer_error)
    app.add_exception_handler(ChainError, on_chain_error)
    app.add_exception_handler(Exception, on_any_error)

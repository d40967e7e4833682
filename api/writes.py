"""Write sessions of HTTP requests: one transaction, committed BEFORE the answer is sent.

FastAPI ends a function-scoped dependency between the handler and the answer, so a commit that
fails is a 5xx and never a success that did not happen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from api.answers import JSON
from api.auth.guard import Who
from api.auth.principal import Principal
from api.deps import Deps, deps_of
from api.routing import IDEMPOTENCY_KEY
from custody.core import idempotency
from custody.core.db import WriteSession
from custody.core.idempotency import StoredAnswer
from custody.core.serialization import dumps
from custody.parties import personal


async def _write_session(request: Request, who: Who) -> AsyncIterator[WriteSession]:
    async with deps_of(request).db.write() as session:
        yield session


Writing = Annotated[WriteSession, Depends(_write_session, scope="function")]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's Idempotency-Key and the hash of its method, path and body."""

    key: str
    hash: bytes


class Once:
    """A money-moving request: its effect happens once, however often it is sent."""

    def __init__(
        self, session: WriteSession, who: Principal, asked: Asked, known: StoredAnswer | None
    ) -> None:
        self._session = session
        self._who = who
        self._asked = asked
        self._known = known

    @property
    def answered(self) -> Response | None:
        return None if self._known is None else stored(self._known)

    async def run(
        self, work: Callable[[WriteSession], Awaitable[Any]], status: int = 201
    ) -> Response:
        """The stored answer, byte for byte, or that of `work`, stored in the same commit."""
        if self.answered is not None:
            return self.answered
        answer = StoredAnswer(status, dumps(await work(self._session)))
        tenant, principal = self._who.tenant_id, self._who.idempotency_principal
        key, hash_ = self._asked.key, self._asked.hash
        await idempotency.finish(self._session, tenant, principal, key, hash_, answer)
        return stored(answer)


def stored(answer: StoredAnswer) -> Response:
    return Response(answer.body, answer.status, media_type=JSON)


Key = Annotated[str, Header(alias=IDEMPOTENCY_KEY, max_length=idempotency.KEY_LENGTH_MAX)]


def key_of(request: Request) -> str:
    """A hot route's key. Raises RequestValidationError when there is none."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        missing = {"type": "missing", "loc": ("header", IDEMPOTENCY_KEY), "msg": "Field required"}
        raise RequestValidationError([missing])
    return key


async def asked_of(request: Request, key: str) -> Asked:
    """Raises InvalidInput for a malformed key."""
    body = await request.body()
    return Asked(
        idempotency.check_key(key),
        idempotency.request_hash(request.method, request.url.path, body),
    )


async def begin(session: WriteSession, who: Principal, asked: Asked) -> Once:
    """Raises IdempotencyInFlight or IdempotencyMismatch."""
    known = await idempotency.begin(
        session, who.tenant_id, who.idempotency_principal, asked.key, asked.hash
    )
    return Once(session, who, asked, known)


async def keyed(s: WriteSession, who: Principal, asked: Asked, *, at: datetime) -> Asked:
    """A holder's request that has personal data in it, with its hash keyed by the holder's key.

    A plain hash would stay for ever and tell whether a guess at the data is right. Once the holder
    is erased, the same request again is a mismatch: refused, and so not done twice.
    """
    key = await personal.key_of(s, who.tenant_id, who.own_customer(), at=at)
    return Asked(asked.key, personal.keyed(key, asked.hash))


async def stored_before(deps: Deps, who: Principal, asked: Asked) -> Response | None:
    """The answer of the first time, for routes that call out before they open their transaction.

    Raises IdempotencyInFlight or IdempotencyMismatch.
    """
    async with deps.db.write() as s:
        return (await begin(s, who, asked)).answered


async def _once(request: Request, who: Who, key: Key) -> AsyncIterator[Once]:
    asked = await asked_of(request, key)
    async with deps_of(request).db.write() as session:
        yield await begin(session, who, asked)


MoneyWrite = Annotated[Once, Depends(_once, scope="function")]


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class LateOnce:
    """For a route that asks a chain first: its transaction opens only when that is done."""

    _deps: Deps
    _who: Principal
    _asked: Asked

    async def run(
        self,
        read: Callable[[], Awaitable[Read]],
        work: Callable[[WriteSession, Read], Awaitable[Any]],
        status: int = 201,
    ) -> Response:
        """The stored answer, byte for byte; else what `work` makes of what `read` found, in a
        transaction of its own that commits before the answer is sent.

        Raises IdempotencyInFlight or IdempotencyMismatch.
        """
        before = await stored_before(self._deps, self._who, self._asked)
        if before is not None:
            return before
        found = await read()
        async with self._deps.db.write() as session:
            once = await begin(session, self._who, self._asked)
            return await once.run(lambda s: work(s, found), status)


async def _late_once(request: Request, who: Who, key: Key) -> LateOnce:
    return LateOnce(deps_of(request), who, await asked_of(request, key))


LateMoneyWrite = Annotated[LateOnce, Depends(_late_once)]

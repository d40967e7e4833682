"""Write sessions of HTTP requests: one transaction, committed BEFORE the answer is sent.

FastAPI ends a function-scoped dependency between the handler and the answer, so a commit that
fails is a 5xx and never a success that did not happen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.responses import Response

from api.answers import JSON
from api.auth.guard import Who
from api.deps import deps_of
from custody.core import idempotency
from custody.core.db import WriteSession
from custody.core.serialization import dumps


async def _write_session(request: Request, who: Who) -> AsyncIterator[WriteSession]:
    async with deps_of(request).db.write() as session:
        yield session


Writing = Annotated[WriteSession, Depends(_write_session, scope="function")]


class Once:
    """A money-moving request: its effect happens once, however often it is sent."""

    def __init__(
        self, session: WriteSession, who: Who, key: str, hash_: bytes, stored: Response | None
    ) -> None:
        self.session = session
        self.who = who
        self._key = key
        self._hash = hash_
        self._stored = stored

    async def run(
        self, work: Callable[[WriteSession], Awaitable[Any]], status: int = 201
    ) -> Response:
        """The stored answer, byte for byte, or that of `work`, stored in the same commit."""
        if self._stored is not None:
            return self._stored
        body = dumps(await work(self.session))
        await idempotency.finish(
            self.session,
            self.who.tenant_id,
            self.who.label,
            self._key,
            self._hash,
            idempotency.StoredAnswer(status, body),
        )
        return Response(body, status, media_type=JSON)


Key = Annotated[str, Header(max_length=idempotency.KEY_LENGTH_MAX)]


async def _begin(request: Request, who: Who, session: WriteSession, key: str) -> Once:
    idempotency.check_key(key)
    hash_ = idempotency.request_hash(request.method, request.url.path, await request.body())
    stored = await idempotency.begin(session, who.tenant_id, who.label, key, hash_)
    replay = None if stored is None else Response(stored.body, stored.status, media_type=JSON)
    return Once(session, who, key, hash_, replay)


async def _once(request: Request, who: Who, idempotency_key: Key) -> AsyncIterator[Once]:
    async with deps_of(request).db.write() as session:
        yield await _begin(request, who, session, idempotency_key)


async def _hot_once(request: Request, who: Who, idempotency_key: Key) -> AsyncIterator[Once]:
    async with deps_of(request).hot.write() as session:
        yield await _begin(request, who, session, idempotency_key)


MoneyWrite = Annotated[Once, Depends(_once, scope="function")]
HotMoneyWrite = Annotated[Once, Depends(_hot_once, scope="function")]
"""The same on a native session: its work must be SQL text all the way down."""

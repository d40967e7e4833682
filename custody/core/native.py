"""Single statements straight on asyncpg, for the few routes where SQLAlchemy's CPU decides.

The same methods and SQL text with `:name` parameters as `custody.core.db.ReadSession`, so that
domain functions cannot tell the difference; only text, and each statement is a transaction of its
own. Measured: a read costs a third of the CPU.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError, InterfaceError, MultipleResultsFound, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.base import Executable

from custody.core.db import SERVER_SETTINGS, Params, ReadSession
from custody.core.serialization import dumps_text, loads

# A name after a single colon, not after two (a cast) nor inside a word or a quoted text.
_TOKEN = re.compile(r"'(?:[^']|'')*'|::|(?<![\w:]):([a-zA-Z_]\w*)")
Statement = str | Executable
WAIT_S = 5.0


class Row(asyncpg.Record):  # type: ignore[misc]
    """A record that also answers to attributes and `_mapping`, as SQLAlchemy's rows do."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return dict(self.items())


@lru_cache(maxsize=512)
def positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` -> `$n`; a name used twice is one parameter. The names come in order."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match[1]
        return match[0] if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _TOKEN.sub(number, sql), tuple(names)


class NativeSession(ReadSession):
    """One connection of the pool. Each statement stands alone and commits itself."""

    def __init__(self, connection: Any) -> None:
        self._native = connection

    async def execute(
        self, statement: Statement, params: Params | Sequence[Params] | None = None
    ) -> CursorResult[Any]:
        raise TypeError("a native session has no cursor results: use all, first, one or scalar")

    async def all(self, statement: Statement, params: Params | None = None) -> Any:
        sql, names = positional(_text(statement))
        values = [params[name] for name in names] if params else ()
        return await _guarded(sql, self._native.fetch(sql, *values))

    async def first(self, statement: Statement, params: Params | None = None) -> Any:
        found = await self.all(statement, params)
        return found[0] if found else None

    async def one(self, statement: Statement, params: Params | None = None) -> Any:
        found = await self.all(statement, params)
        if len(found) > 1:
            raise MultipleResultsFound
        if not found:
            raise NoResultFound
        return found[0]

    async def scalar(self, statement: Statement, params: Params | None = None) -> Any:
        found = await self.all(statement, params)
        return found[0][0] if found else None


def _text(statement: Statement) -> str:
    if isinstance(statement, str):
        return statement
    if isinstance(statement, TextClause):
        return statement.text
    raise TypeError("a native session takes SQL text only")


async def _guarded(sql: str, running: Any) -> Any:
    """SQLAlchemy's errors for asyncpg's, so that callers know one tree."""
    try:
        return await running
    except (
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.PostgresConnectionError,
        OSError,
    ) as error:
        raise InterfaceError(sql, None, error, hide_parameters=True) from error
    except asyncpg.PostgresError as error:
        raise DBAPIError(sql, None, error, hide_parameters=True) from error


async def connect(url: str, *, command_timeout: int | None = None) -> Any:
    """An asyncpg connection. `url` is that of `custody.core.db.Database`.

    What takes longer than `command_timeout` seconds raises TimeoutError.
    """
    connection = await asyncpg.connect(
        url.replace("postgresql+asyncpg://", "postgresql://", 1),
        record_class=Row,
        command_timeout=command_timeout,
        server_settings=SERVER_SETTINGS,
    )
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_json_text, decoder=loads)
    return connection


class NativePool:
    """A few connections, the last used first. `url` is that of `custody.core.db.Database`."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._idle: deque[Any] = deque()
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[NativeSession]:
        await self._wait()
        try:
            connection = self._take() or await _guarded("", connect(self._url))
            try:
                yield NativeSession(connection)
            finally:
                # A cancelled statement leaves its connection busy or closed: not one to keep.
                if connection.is_closed() or connection.is_in_transaction():
                    connection.terminate()
                else:
                    self._idle.append(connection)
        finally:
            self._free.release()

    async def _wait(self) -> None:
        """Raises SQLAlchemy's TimeoutError, as its own pool does, if none gets free in time."""
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            await asyncio.wait_for(self._free.acquire(), WAIT_S)
        except TimeoutError as error:
            raise PoolTimeout("no connection got free in time") from error

    def _take(self) -> Any:
        """An idle connection that is still open, or None. The server may have closed some."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _json_text(value: Any) -> str:
    """Some statements pass JSON as text with a cast, others the value itself."""
    return value if isinstance(value, str) else dumps_text(value)

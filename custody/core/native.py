"""Sessions straight on asyncpg, for the few routes where SQLAlchemy's share of the CPU decides.

The same methods as `custody.core.db`'s sessions over the same SQL text with `:name` parameters, so
domain functions cannot tell the difference. Only text: a Core statement raises TypeError here.
Measured: one read costs 0.05 ms of CPU here and 0.35 ms there.
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
from sqlalchemy.exc import DBAPIError, InterfaceError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.base import Executable

from custody.core.db import Params, WriteSession
from custody.core.serialization import dumps_text, loads

# A name after a single colon, not after two (a cast) nor inside a word or a quoted text.
_TOKEN = re.compile(r"'(?:[^']|'')*'|::|(?<![\w:]):([a-zA-Z_]\w*)")


_ANSWERS = re.compile(r"\A\s*(SELECT|TABLE|VALUES)\b|\bRETURNING\b(?!.*\))", re.I | re.S)
"""Statements that give rows: queries, and changes whose own RETURNING is not inside a CTE."""

ROLLBACK_TIMEOUT_S = 5.0


class Row(asyncpg.Record):
    """A record that also answers to attributes and `_mapping`, as SQLAlchemy's rows do."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return self  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` -> `$n`; a name used twice is one parameter. The names come in order."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match[1]
        return match[0] if name is None else f"${names.setdefault(name, len(names) + 1)}"

    return _TOKEN.sub(number, sql), tuple(names)


class Result:
    """What `execute` answers: the rows, and how many were touched."""

    def __init__(self, rows: list[Row], tag: str) -> None:
        self._rows = rows
        count = tag.rpartition(" ")[2]
        self.rowcount = int(count) if count.isdigit() else -1

    def all(self) -> list[Row]:
        return self._rows

    def first(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        if len(self._rows) > 1:
            raise MultipleResultsFound
        if not self._rows:
            raise NoResultFound
        return self._rows[0]

    def scalar(self) -> Any:
        return self._rows[0][0] if self._rows else None


class NativeSession(WriteSession):
    """One connection of the pool; a transaction if it came from `NativePool.write`."""

    def __init__(self, connection: Any) -> None:
        self._native = connection

    async def execute(  # type: ignore[override]
        self, statement: str | Executable, params: Params | Sequence[Params] | None = None
    ) -> Result:
        sql, names = positional(_text(statement))
        if isinstance(params, Sequence):
            rows = [tuple(p[name] for name in names) for p in params]
            await _guarded(sql, self._native.executemany(sql, rows))
            return Result([], f"MANY {len(rows)}")
        values = [params[name] for name in names] if params else ()
        if _ANSWERS.search(sql):
            found = await _guarded(sql, self._native.fetch(sql, *values))
            return Result(found, f"ROWS {len(found)}")
        return Result([], await _guarded(sql, self._native.execute(sql, *values)))

    async def all(  # type: ignore[override]
        self, statement: str | Executable, params: Params | None = None
    ) -> list[Row]:
        sql, names = positional(_text(statement))
        values = [params[name] for name in names] if params else ()
        found: list[Row] = await _guarded(sql, self._native.fetch(sql, *values))
        return found

    async def first(  # type: ignore[override]
        self, statement: str | Executable, params: Params | None = None
    ) -> Row | None:
        found = await self.all(statement, params)
        return found[0] if found else None

    async def one(  # type: ignore[override]
        self, statement: str | Executable, params: Params | None = None
    ) -> Row:
        return Result(await self.all(statement, params), "").one()

    async def scalar(self, statement: str | Executable, params: Params | None = None) -> Any:
        found = await self.all(statement, params)
        return found[0][0] if found else None


def _text(statement: str | Executable) -> str:
    if isinstance(statement, str):
        return statement
    if isinstance(statement, TextClause):
        return statement.text
    raise TypeError("a native session takes SQL text only")


async def _guarded(sql: str, running: Any) -> Any:
    """SQLAlchemy's errors for asyncpg's, so that callers know one tree."""
    try:
        return await running
    except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError) as error:
        raise InterfaceError(sql, None, error, hide_parameters=True) from error
    except asyncpg.PostgresError as error:
        raise DBAPIError(sql, None, error, hide_parameters=True) from error


class NativePool:
    """A few connections, the last used first. `url` is that of `custody.core.db.Database`."""

    def __init__(self, url: str, size: int) -> None:
        self._dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._idle: deque[Any] = deque()
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[NativeSession]:
        """Each statement stands alone."""
        async with self._connection() as connection:
            yield NativeSession(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[NativeSession]:
        """One transaction: it commits when the block ends without an error, and not otherwise."""
        async with self._connection() as connection:
            await _guarded("BEGIN", connection.execute("BEGIN"))
            yield NativeSession(connection)
            await _guarded("COMMIT", connection.execute("COMMIT"))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with self._free:
            connection = self._take() or await self._open()
            try:
                yield connection
            except BaseException:
                await self._give_back_failed(connection)
                raise
            self._idle.append(connection)

    def _take(self) -> Any:
        """An idle connection that is still open, or None. The server may have closed some."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _open(self) -> Any:
        connection = await _guarded("", self._connect())
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=_json_text, decoder=loads
        )
        return connection

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            self._dsn,
            record_class=Row,
            server_settings={"application_name": "moorage", "timezone": "UTC"},
        )

    async def _give_back_failed(self, connection: Any) -> None:
        """A connection that an error left in the middle of something is rolled back, or dropped.

        What was raised first is what the caller must see, so nothing is raised from here.
        """
        try:
            if not connection.is_closed() and connection.is_in_transaction():
                await asyncio.wait_for(connection.execute("ROLLBACK"), ROLLBACK_TIMEOUT_S)
            self._idle.append(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            connection.terminate()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _json_text(value: Any) -> str:
    """Some statements pass JSON as text with a cast, others the value itself."""
    return value if isinstance(value, str) else dumps_text(value)

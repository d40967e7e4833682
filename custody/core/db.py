"""PostgreSQL through SQLAlchemy Core on asyncpg. Read and write sessions are different types.

A write session is one transaction: it commits when its block ends without an error, and not
otherwise. No network call belongs inside it.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import MetaData, Row, text
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.base import Executable

from custody.core.serialization import dumps_text, loads

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Params = Mapping[str, Any]
_SHARED = re.compile("[0-9A-F-]{1,64}")
POOL_TIMEOUT_S = 5.0
SERVER_SETTINGS = {
    "application_name": "moorage",
    "timezone": "UTC",
    # A process that stops in the middle must not keep the rows it has locked from all others.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
}


class ReadSession:
    """Reads only; each statement stands alone unless the session was opened as a snapshot."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def execute(
        self, statement: str | Executable, params: Params | Sequence[Params] | None = None
    ) -> CursorResult[Any]:
        """Run a statement; plain text is taken as SQL with `:name` parameters."""
        run = text(statement) if isinstance(statement, str) else statement
        return await self.connection.execute(run, params)

    async def one(self, statement: str | Executable, params: Params | None = None) -> Row[Any]:
        """The only row. Raises NoResultFound or MultipleResultsFound of SQLAlchemy."""
        return (await self.execute(statement, params)).one()

    async def first(
        self, statement: str | Executable, params: Params | None = None
    ) -> Row[Any] | None:
        return (await self.execute(statement, params)).first()

    async def all(
        self, statement: str | Executable, params: Params | None = None
    ) -> Sequence[Row[Any]]:
        return (await self.execute(statement, params)).all()

    async def stream(
        self, statement: str | Executable, params: Params | None = None
    ) -> AsyncIterator[Row[Any]]:
        """The rows as they come, never all in memory. Requires a snapshot or a write session."""
        run = text(statement) if isinstance(statement, str) else statement
        async for row in await self.connection.stream(run, params):
            yield row

    async def scalar(self, statement: str | Executable, params: Params | None = None) -> Any:
        return (await self.execute(statement, params)).scalar()

    async def copy(
        self, query: str, arguments: Sequence[object], take: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """The rows of a query (with `$1`, `$2`, ...) in PostgreSQL's binary COPY form, handed to
        `take` in pieces as they come. Requires a snapshot or a write session."""
        raw = await self.connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.copy_from_query(query, *arguments, output=take, format="binary")

    async def share_moment(self) -> str:
        """A name by which another session can see this snapshot's moment, while this is open."""
        return str(await self.scalar("SELECT pg_export_snapshot()"))


class WriteSession(ReadSession):
    """One transaction: ledger rows, state, audit entry and idempotency row commit together."""


class Database:
    """The pool of connections. `url` is a `postgresql+asyncpg://` address of the app role.

    Who waits longer than `pool_timeout_s` for a connection gets SQLAlchemy's TimeoutError.
    """

    def __init__(
        self, url: str, pool_size: int = 10, pool_timeout_s: float = POOL_TIMEOUT_S
    ) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=pool_timeout_s,
            pool_pre_ping=False,
            # An exception's text ends in logs: it must not carry the values of a statement.
            hide_parameters=True,
            json_serializer=dumps_text,
            json_deserializer=loads,
            connect_args={"server_settings": SERVER_SETTINGS},
        )
        self._reads = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        async with self._reads.connect() as connection:
            yield ReadSession(connection)

    @asynccontextmanager
    async def snapshot(self, shared: str | None = None) -> AsyncIterator[ReadSession]:
        """Reads that all see one moment: REPEATABLE READ, READ ONLY. `shared` is what
        `share_moment` gave to somebody whose snapshot is still open: then it is that moment.

        Raises ValueError for what is no such name.
        """
        if shared is not None and _SHARED.fullmatch(shared) is None:
            raise ValueError(f"{shared!r} names no snapshot")
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            if shared is not None:
                await connection.execute(text(f"SET TRANSACTION SNAPSHOT '{shared}'"))
            yield ReadSession(connection)
            await connection.rollback()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        async with self.engine.begin() as connection:
            yield WriteSession(connection)

    async def close(self) -> None:
        await self.engine.dispose()

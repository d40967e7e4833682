"""Database leases: two workers never do the same step.

A lease is a session-level advisory lock. All leases of a process share one connection, which does
nothing else: a job that waits for a connection of the pool can then never wait for a job that
holds one. The leases end when the process dies or loses that connection, so a killed worker blocks
nobody; what a step writes is guarded by states of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from custody.core.db import Database

_TAKE = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 11))")
_LET_GO = text("SELECT pg_advisory_unlock(hashtextextended(:name, 11))")


class Leases:
    """The leases of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._held: set[str] = set()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[bool]:
        """True while this caller alone holds the lease `name`; False if somebody else has it."""
        # The database would give one session the same lock twice: within a process we refuse.
        if name in self._held:
            yield False
            return
        self._held.add(name)
        try:
            taken = bool(await self._run(_TAKE, name))
            try:
                yield taken
            finally:
                if taken:
                    await self._run(_LET_GO, name)
        finally:
            self._held.discard(name)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _run(self, statement: TextClause, name: str) -> object:
        async with self._one_at_a_time:
            try:
                connection = await self._connected()
                return await connection.scalar(statement, {"name": name})
            except BaseException:
                # A connection in doubt would leave locks in doubt: drop it and them.
                broken, self._connection = self._connection, None
                if broken is not None:
                    await asyncio.shield(broken.invalidate())
                raise

    async def _connected(self) -> AsyncConnection:
        if self._connection is None:
            connection = self._database.engine.connect()
            self._connection = await connection.start()
            await self._connection.execution_options(isolation_level="AUTOCOMMIT")
        return self._connection

"""Sessions, idempotency and leases on the real PostgreSQL."""

from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from custody.core import idempotency
from custody.core.db import Database
from custody.core.errors import IdempotencyInFlight, IdempotencyMismatch
from custody.core.leases import Leases

pytestmark = pytest.mark.postgres


async def test_same_key_same_body_gives_the_stored_answer(database: Database) -> None:
    """Property 4."""
    tenant, answer = uuid4(), idempotency.StoredAnswer(201, b'{"a":1}')
    async with database.write() as s:
        assert await idempotency.begin(s, tenant, "tok", "k", b"h") is None
        await idempotency.finish(s, tenant, "tok", "k", b"h", answer)
    async with database.write() as s:
        assert await idempotency.begin(s, tenant, "tok", "k", b"h") == answer
        with pytest.raises(IdempotencyMismatch):
            await idempotency.begin(s, tenant, "tok", "k", b"other")


async def test_key_in_flight_is_refused(database: Database) -> None:
    """Property 4: the second of two running requests gets a conflict, not a wait."""
    tenant = uuid4()
    async with database.write() as first, database.write() as second:
        assert await idempotency.begin(first, tenant, "tok", "k", b"h") is None
        with pytest.raises(IdempotencyInFlight):
            await idempotency.begin(second, tenant, "tok", "k", b"h")


async def test_an_errors_text_has_no_values(database: Database) -> None:
    """It ends in logs."""
    with pytest.raises(DBAPIError) as failed:
        async with database.write() as s:
            await s.execute("SELECT CAST(:n AS text), 1 / 0", {"n": "a-secret-value"})
    assert "a-secret-value" not in str(failed.value)
    assert "SELECT" in str(failed.value)


async def test_a_full_pool_is_told_soon(database: Database) -> None:
    small = Database(database.url, 1, pool_timeout_s=0.1)
    async with small.read() as one, small.read() as two:
        assert await one.scalar("SELECT 1") == await two.scalar("SELECT 1")
        with pytest.raises(PoolTimeout):
            async with small.read():
                pass
    await small.close()


async def test_failed_block_commits_nothing(database: Database) -> None:
    tenant = uuid4()
    with pytest.raises(RuntimeError):
        async with database.write() as s:
            await idempotency.finish(
                s, tenant, "tok", "k", b"h", idempotency.StoredAnswer(200, b"")
            )
            raise RuntimeError("boom")
    async with database.write() as s:
        assert await idempotency.begin(s, tenant, "tok", "k", b"h") is None


async def test_lease_has_one_holder(database: Database) -> None:
    one, other = Leases(database), Leases(database)
    async with one.hold("job") as first:
        assert first
        async with (
            other.hold("job") as second,
            one.hold("job") as again,
            other.hold("else") as free,
        ):
            assert (second, again, free) == (False, False, True)
    async with other.hold("job") as third:
        assert third
    await one.close()
    await other.close()


async def test_leases_of_a_dead_process_are_free(database: Database) -> None:
    """A lease ends with its connection, however that ends."""
    dying, other = Leases(database), Leases(database)
    async with dying.hold("job") as held:
        assert held
        async with database.write() as s:
            await s.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        while True:  # a backend lets go only as it ends
            async with database.read() as reading:
                if not await reading.scalar(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                ):
                    break
        async with other.hold("job") as taken:
            assert taken
        with pytest.raises(DBAPIError):
            async with dying.hold("next"):
                pass
        async with dying.hold("next") as again:
            assert again
    await dying.close()
    await other.close()

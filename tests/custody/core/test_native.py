"""Native sessions: the same SQL text, the same errors, one statement a transaction."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeout

from custody.core import native
from custody.core.db import Database, metadata
from custody.core.native import NativePool, positional


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[NativePool]:
    opened = NativePool(database.url, 2)
    yield opened
    await opened.close()


TEXTS = [
    ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
    ("SELECT :a::uuid", "SELECT $1::uuid", ("a",)),
    ("SELECT now()::date", "SELECT now()::date", ()),
    ("SELECT ':a', 'it''s :b', :c", "SELECT ':a', 'it''s :b', $1", ("c",)),
    ("f(x => :a)", "f(x => $1)", ("a",)),
    ("a[1:2]", "a[1:2]", ()),
]


@pytest.mark.unit
@pytest.mark.parametrize(("sql", "expected", "names"), TEXTS, ids=[t[0] for t in TEXTS])
def test_names_become_positions(sql: str, expected: str, names: tuple[str, ...]) -> None:
    assert positional(sql) == (expected, names)


@pytest.mark.postgres
async def test_rows_answer_as_sqlalchemys_do(pool: NativePool) -> None:
    id_ = uuid4()
    async with pool.session() as s:
        row = await s.one("SELECT CAST(:id AS uuid) AS id, 2::numeric AS amount", {"id": id_})
        assert (row.id, row["amount"], row[0]) == (id_, 2, id_)
        assert isinstance(row.id, UUID)
        assert dict(**row._mapping) == {"id": id_, "amount": 2}
        with pytest.raises(AttributeError):
            _ = row.missing
        assert await s.scalar(text("SELECT CAST(:j AS jsonb)"), {"j": {"a": [1]}}) == {"a": [1]}
        assert await s.first("SELECT 1 WHERE false") is None


@pytest.mark.postgres
async def test_refusals(pool: NativePool) -> None:
    async with pool.session() as s:
        with pytest.raises(NoResultFound):
            await s.one("SELECT 1 WHERE false")
        with pytest.raises(MultipleResultsFound):
            await s.one("SELECT generate_series(1, 2)")
        with pytest.raises(TypeError):
            await s.all(metadata.tables["tenants"].select())
        with pytest.raises(DBAPIError) as caught:
            await s.all("SELECT 1 / :zero", {"zero": 0})
        assert getattr(caught.value.orig, "sqlstate", None) == "22012"
        assert await s.scalar("SELECT 1") == 1


@pytest.mark.postgres
async def test_a_cancelled_statement_costs_no_place_in_the_pool(pool: NativePool) -> None:
    async def sleep() -> None:
        async with pool.session() as s:
            await s.all("SELECT pg_sleep(30)")

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await sleep()
    async with pool.session() as first, pool.session() as second:
        assert await first.scalar("SELECT 1") == await second.scalar("SELECT 1") == 1


@pytest.mark.postgres
async def test_waiting_for_a_connection_ends(
    pool: NativePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 36: beyond capacity an answer comes soon; later the pool serves again."""
    monkeypatch.setattr(native, "WAIT_S", 0.05)
    async with pool.session(), pool.session():
        with pytest.raises(PoolTimeout):
            async with pool.session():
                pass
    async with pool.session() as s:
        assert await s.scalar("SELECT 1") == 1

"""Every model has a migration, and every migration a model."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from api.migrations.models import metadata
from api.migrations.run import upgrade
from tests.conftest import Server

pytestmark = pytest.mark.postgres


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [d for d in compare_metadata(context, metadata) if not _is_alembics_own(d)]


def _is_alembics_own(difference: Any) -> bool:
    return bool(difference[0] == "remove_table" and difference[1].name == "alembic_version")


async def test_models_and_migrations_agree(postgres_server: Server, database_name: str) -> None:
    engine = create_async_engine(postgres_server.owner(database_name))
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


async def test_app_role_owns_nothing(postgres_server: Server, database_name: str) -> None:
    """Property 5: what the service runs as cannot alter a table, only what it is granted."""
    engine = create_async_engine(postgres_server.owner(database_name))
    async with engine.connect() as connection:
        owned = await connection.exec_driver_sql(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
            " WHERE r.rolname = 'moorage_app'"
        )
        assert owned.scalar() == 0
        deletable = await connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.table_privileges"
            " WHERE grantee = 'moorage_app' AND privilege_type IN ('DELETE', 'TRUNCATE')"
            " ORDER BY table_name"
        )
        names = [row[0] for row in deletable]
    await engine.dispose()
    money_and_log = {"transfers", "accounts", "audit_entries", "audit_sequence", "decisions"}
    assert not money_and_log & set(names), names


PLACELESS = {"ledger_content_hash"}
"""Names no table, and has its caller's place: with one of its own a posting could not inline it."""


async def test_no_function_looks_among_its_callers_tables(
    postgres_server: Server, database_name: str
) -> None:
    """A session's temporary tables come before all others unless the function says otherwise."""
    engine = create_async_engine(postgres_server.owner(database_name))
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
            " AND NOT 'search_path=public, pg_temp' = ANY(coalesce(p.proconfig, '{}'))"
        )
        names = {row[0] for row in found}
    await engine.dispose()
    assert names == PLACELESS


async def test_the_service_makes_no_temporary_tables(
    postgres_server: Server, database_name: str
) -> None:
    """A restored database is brought up to date like any other, and then has this again."""
    query = f"SELECT has_database_privilege('moorage_app', '{database_name}', 'TEMPORARY')"
    engine = create_async_engine(postgres_server.owner(database_name))
    for may in (True, False):
        async with engine.connect() as connection:
            found = await connection.exec_driver_sql(query)
            assert found.scalar() is may, "a copy has the rights of any new database"
        await upgrade(postgres_server.owner(database_name))
    await engine.dispose()

"""Every model has a migration, and every migration a model."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from api.migrations.models import metadata
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

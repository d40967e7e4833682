"""Bring a database to the newest migration, as the owner role."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

# The service needs no tables of its own, and what it cannot make can stand in for nothing. The
# rights of a database are in no dump and in no copy of it, so not in a migration either.
_NO_TEMPORARY_TABLES = """
DO $$ BEGIN
  IF has_database_privilege('public', current_database(), 'TEMPORARY')
     AND (SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_database
          WHERE datname = current_database()) THEN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  END IF;
END $$
"""


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


async def upgrade(url: str, revision: str = "head") -> None:
    """Requires the URL of a role that may create tables; each migration grants the app its part.
    Where that role owns the database, the app may make no temporary tables from then on."""

    def work(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), revision)

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(work)
        await connection.exec_driver_sql(_NO_TEMPORARY_TABLES)
    await engine.dispose()

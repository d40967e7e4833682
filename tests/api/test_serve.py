"""The supervisor: what dies is started again; what ends, ends everything."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.commands import serve
from api.commands.serve import Child, Supervisor, children
from custody.core.settings import Settings

pytestmark = pytest.mark.unit
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def _pids(home: Path) -> dict[str, int]:
    file = home / "serve.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_child_comes_back_and_all_end_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "RESTART_PAUSE_S", 0.05)
    kept = [Child("worker", SLEEP), Child("api", SLEEP)]
    supervisor = Supervisor(Settings(home=tmp_path), dict(os.environ), kept)
    running = asyncio.create_task(supervisor.run())
    await _until(lambda: set(_pids(tmp_path)) == {"worker", "api"})
    first = _pids(tmp_path)
    os.kill(first["worker"], signal.SIGKILL)
    await _until(lambda: _pids(tmp_path)["worker"] != first["worker"])
    again = _pids(tmp_path)
    assert again["api"] == first["api"]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 20)
    assert not any(_alive(pid) for pid in again.values())
    assert _pids(tmp_path) == {}


def test_the_children_in_order() -> None:
    assert [c.name for c in children(Settings())] == ["signer", "worker", "api"]

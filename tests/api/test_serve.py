"""The supervisor: what dies is started again; what ends, ends everything."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.commands import serve
from api.commands.serve import Child, Supervisor, children
from api.embedded import Urls, left_as_found
from api.processes import serving
from custody.core import embedded
from custody.core.errors import Conflict
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
    assert [c.name for c in children(Settings(), {}, None)] == ["signer", "worker", "api"]


def _supervisor(home: Path, kept: list[Child]) -> Supervisor:
    return Supervisor(Settings(home=home), dict(os.environ), kept)


async def _end(running: asyncio.Task[None]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 20)


LEADER = """
import subprocess, sys, time
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
made = subprocess.Popen([sys.executable, "-c", worker])
with open(sys.argv[1], "a") as file:
    print(made.pid, file=file, flush=True)
time.sleep(60)
"""


async def test_a_killed_childs_own_children_do_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granian's workers, were its master killed: they would keep the port."""
    monkeypatch.setattr(serve, "RESTART_PAUSE_S", 0.05)
    file = tmp_path / "workers"
    supervisor = _supervisor(tmp_path, [Child("api", [sys.executable, "-c", LEADER, str(file)])])
    running = asyncio.create_task(supervisor.run())

    def workers() -> list[int]:
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    await _until(lambda: len(workers()) == 1)
    os.kill(_pids(tmp_path)["api"], signal.SIGKILL)
    await _until(lambda: len(workers()) == 2)
    await _until(lambda: not _is_running(workers()[0]))
    await _end(running)
    await _until(lambda: not _is_running(workers()[1]))


def _is_running(pid: int) -> bool:
    """Alive and no zombie: who reaps an orphan is not ours to say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


PARENT = """
import subprocess, sys, time
child = "from api.processes import end_with_parent as e; import time; e(); print(1, flush=True)"
made = subprocess.Popen([sys.executable, "-c", child + "; time.sleep(60)"], stdout=subprocess.PIPE)
made.stdout.readline()
print(made.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own doing, on Linux only")
async def test_a_worker_ends_with_its_killed_master() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert _is_running(pid)
    parent.kill()
    await parent.wait()
    await _until(lambda: not _is_running(pid))


async def test_a_child_that_cannot_be_started_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "RESTART_PAUSE_S", 0.05)
    late = tmp_path / "late"
    supervisor = _supervisor(tmp_path, [Child("worker", [str(late)]), Child("api", SLEEP)])
    running = asyncio.create_task(supervisor.run())
    await _until(lambda: set(_pids(tmp_path)) == {"api"})
    await asyncio.sleep(0.2)
    assert not running.done()
    late.write_text("#!/bin/sh\nsleep 60\n")
    late.chmod(0o755)
    await _until(lambda: set(_pids(tmp_path)) == {"worker", "api"})
    await _end(running)


async def test_pauses_grow_for_a_child_that_dies_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(serve, "_say", said.append)
    monkeypatch.setattr(serve, "RESTART_PAUSE_S", 0.02)
    monkeypatch.setattr(serve, "RESTART_PAUSE_MAX_S", 0.05)
    running = asyncio.create_task(_supervisor(tmp_path, [Child("api", ["false"])]).run())
    await _until(lambda: len(said) >= 4)
    await _end(running)
    pauses = [line.split(" in ")[1] for line in said]
    assert pauses[:4] == ["0.02 s", "0.04 s", "0.05 s", "0.05 s"]


async def test_a_child_started_while_stopping_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "RESTART_PAUSE_S", 0.01)
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Child):
        async def start(self, environment: dict[str, str]) -> None:
            if self.process is not None:  # the second life is the one that comes too late
                begun.set()
                await go_on.wait()
                self.command = SLEEP
            await super().start(environment)

    slow = Slow("worker", ["false"])
    running = asyncio.create_task(_supervisor(tmp_path, [slow]).run())
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.1)
    go_on.set()
    await asyncio.wait_for(running, 10)
    assert slow.process is not None
    assert slow.process.returncode is not None


def test_one_home_is_served_once(tmp_path: Path) -> None:
    with serving(tmp_path) as alone, serving(tmp_path) as second:
        assert (alone, second) == (True, False)
        with pytest.raises(Conflict, match="another `moorage serve`"):
            serve.run(Settings(home=tmp_path))
    with serving(tmp_path) as alone:
        assert alone


def test_a_failing_migration_leaves_no_server_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[Path] = []

    async def fail(url: str) -> None:
        raise RuntimeError("no such column")

    monkeypatch.setattr(serve, "database_urls", lambda settings, start: Urls("app", "owner"))
    monkeypatch.setattr(serve, "upgrade", fail)
    monkeypatch.setattr(embedded, "stop", stopped.append)
    with pytest.raises(RuntimeError, match="column"):
        serve.run(Settings(home=tmp_path))
    assert stopped == [tmp_path / "pg"]


@pytest.mark.parametrize(("ran", "served"), [(False, False), (True, False), (False, True)])
def test_commands_leave_the_server_as_they_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: bool, served: bool
) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr(embedded, "is_running", lambda folder: ran)
    monkeypatch.setattr(embedded, "stop", stopped.append)
    with ExitStack() as others:
        with left_as_found(Settings(home=tmp_path)):
            if served:
                others.enter_context(serving(tmp_path))
    assert bool(stopped) == (not ran and not served)

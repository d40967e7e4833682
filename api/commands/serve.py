"""`moorage serve`: database, migrations, then signer, worker and API as processes of their own.

A child that dies is started again; when this process ends, all of them do, even by kill -9.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from api.embedded import database_urls
from api.migrations.run import upgrade
from custody.core import embedded
from custody.core.settings import Settings

PR_SET_PDEATHSIG = 1  # linux/prctl.h
RESTART_PAUSE_S = 1.0
STOP_TIMEOUT_S = 15.0
START_TIMEOUT_S = 30.0


def _die_with_parent() -> Callable[[], None] | None:
    """For subprocess' preexec_fn: the kernel ends the child when we are gone."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return arrange


@dataclass
class Child:
    """One process of the service, by the command that runs it."""

    name: str
    command: list[str]
    process: asyncio.subprocess.Process | None = field(default=None)

    async def start(self, environment: dict[str, str]) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, env=environment, preexec_fn=_die_with_parent()
        )

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def api_command(settings: Settings) -> list[str]:
    """Granian: the steadier tail of the two servers that were measured."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-ws"),
        *("--host", settings.api_host, "--port", str(settings.api_port)),
        *("--workers", str(settings.api_workers), "--respawn-failed-workers"),
        *("--log-level", "warning", "api.serve:application"),
    ]


def children(settings: Settings) -> list[Child]:
    """In the order in which they start; they stop in the other."""
    moorage = [sys.executable, "-m", "api.cli"]
    return [
        Child("signer", [*moorage, "signer"]),
        Child("worker", [*moorage, "worker"]),
        Child("api", api_command(settings)),
    ]


class Supervisor:
    def __init__(self, settings: Settings, environment: dict[str, str], kept: list[Child]) -> None:
        self._settings = settings
        self._environment = environment
        self._children = kept
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        watchers = []
        for child in self._children:
            await child.start(self._environment)
            watchers.append(asyncio.create_task(self._keep(child)))
            if child.name == "signer":
                await self._until(self._settings.signer_socket.exists)
        self._write_pids()
        await self._stopping.wait()
        for child in reversed(self._children):
            await child.stop()
        await asyncio.gather(*watchers)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        self._pid_file().unlink(missing_ok=True)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Polled: what is waited for is a file that another process makes."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if condition() or self._stopping.is_set():
                return
            await asyncio.sleep(0.05)

    async def _keep(self, child: Child) -> None:
        """Start the child again whenever it dies."""
        while child.process is not None:
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            _say(f"{child.name} ended with {code}; starting it again")
            await asyncio.sleep(RESTART_PAUSE_S)
            if self._stopping.is_set():
                return
            await child.start(self._environment)
            self._write_pids()

    def _pid_file(self) -> Path:
        return self._settings.home.resolve() / "serve.json"

    def _write_pids(self) -> None:
        """Which process is which, for the operator."""
        pids = {c.name: c.process.pid for c in self._children if c.process is not None}
        fresh = self._pid_file().with_suffix(".new")
        fresh.write_text(json.dumps(pids))
        fresh.replace(self._pid_file())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _serve(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    urls = database_urls(settings, start=True)
    await upgrade(urls.owner)
    # The children get the app's address alone; none of them may ever migrate.
    environment = {k: v for k, v in os.environ.items() if k != "MIGRATION_DATABASE_URL"}
    environment |= {"DATABASE_URL": urls.app, "MOORAGE_HOME": str(settings.home.resolve())}
    _say(f"Moorage at http://{settings.api_host}:{settings.api_port}")
    try:
        await Supervisor(settings, environment, children(settings)).run()
    finally:
        if settings.database_url is None:
            embedded.start(settings.postgres_folder).stop()


def run(settings: Settings) -> None:
    asyncio.run(_serve(settings))

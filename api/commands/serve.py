"""`moorage serve`: database, migrations, then signer, worker and API as processes of their own.

A child that dies is started again; when this process ends, all of them do, even by kill -9.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api import os_users
from api.embedded import database_urls
from api.migrations.run import upgrade
from api.os_users import OsUser, Users
from api.processes import end_with_parent, serving
from custody.core import embedded
from custody.core.errors import Conflict
from custody.core.settings import Settings

RESTART_PAUSE_S = 1.0
RESTART_PAUSE_MAX_S = 30.0
STEADY_S = 10.0
"""A child that lived so long is no child that dies at once."""
STOP_TIMEOUT_S = 15.0
START_TIMEOUT_S = 30.0


@dataclass
class Child:
    """One process of the service, by the command that runs it, leading a session of its own."""

    name: str
    command: list[str]
    user: OsUser | None = None
    environment: Mapping[str, str] | None = None
    """The supervisor's where there is none of its own."""
    prepare: Callable[[], None] = lambda: None
    process: asyncio.subprocess.Process | None = field(default=None)

    async def start(self, environment: dict[str, str]) -> None:
        """Raises OSError."""
        self.prepare()
        as_whom: dict[str, Any] = {}
        if self.user is not None:
            as_whom = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        self.process = await asyncio.create_subprocess_exec(
            *self.command, env=self.environment or environment, preexec_fn=end_with_parent,
            start_new_session=True, **as_whom,
        )  # fmt: skip

    async def stop(self) -> None:
        if self.process is None:
            return
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        self.sweep()
        await self.process.wait()

    def sweep(self) -> None:
        """Kill what is left of the child's session: workers whose master died."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def api_command(settings: Settings) -> list[str]:
    """Granian: the steadier tail of the two servers that were measured."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-ws"),
        *("--host", settings.api_host, "--port", str(settings.api_port)),
        *("--workers", str(settings.api_workers), "--respawn-failed-workers"),
        *("--log-level", "warning", "api.serve:application"),
    ]


def children(
    settings: Settings, environment: Mapping[str, str], users: Users | None
) -> list[Child]:
    """In the order in which they start; they stop in the other."""
    moorage = [sys.executable, "-m", "api.cli"]
    signer, service = (None, None) if users is None else (users.signer, users.service)
    signers = os_users.signer_environment(environment, users)
    others = os_users.service_environment(environment)

    def prepare() -> None:
        if users is not None:
            os_users.hand_over(settings, users)

    return [
        Child("signer", [*moorage, "signer"], signer, signers, prepare),
        Child("worker", [*moorage, "worker"], service, others, prepare),
        Child("api", api_command(settings), service, others, prepare),
    ]


def _users(settings: Settings) -> Users | None:
    """Said at start, so that nobody believes in a wall that is not there."""
    try:
        found = os_users.separate(settings)
    except os_users.NotSeparated as error:
        _say(f"no OS user apart for the signer: {error}")
        return None
    _say(f"the signer runs as {found.signer.name}, worker and API as {found.service.name}")
    return found


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
            watchers.append(asyncio.create_task(self._keep(child)))
            if child.name == "signer":
                await self._until(self._settings.signer_socket.exists)
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
        """Start the child, and again whenever it dies: at once, or later and later if it must."""
        pause_s = RESTART_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            ended = await self._live(child)
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY_S:
                pause_s = RESTART_PAUSE_S
            _say(f"{child.name} {ended}; starting it again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_MAX_S)

    async def _live(self, child: Child) -> str:
        """One life of the child, from start to end; how it ended."""
        try:
            await child.start(self._environment)
            self._write_pids()
        except OSError as error:
            # No memory, no process, a full disk: it may pass, and the others go on meanwhile.
            await child.stop()
            return f"could not be started ({error})"
        if self._stopping.is_set():
            await child.stop()
        assert child.process is not None
        code = await child.process.wait()
        child.sweep()
        return f"ended with {code}"

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
    try:
        urls = database_urls(settings, start=True)
        await upgrade(urls.owner)
        # The children get the app's address alone; none of them may ever migrate.
        environment = {k: v for k, v in os.environ.items() if k != "MIGRATION_DATABASE_URL"}
        environment |= {"DATABASE_URL": urls.app, "MOORAGE_HOME": str(settings.home.resolve())}
        _say(f"Moorage at http://{settings.api_host}:{settings.api_port}")
        kept = children(settings, environment, _users(settings))
        await Supervisor(settings, environment, kept).run()
    finally:
        if settings.database_url is None:
            embedded.stop(settings.postgres_folder)


def run(settings: Settings) -> None:
    """Raises Conflict while another `moorage serve` runs on the same home."""
    with serving(settings.home) as alone:
        if not alone:
            home = settings.home.resolve()
            raise Conflict(f"another `moorage serve` runs on {home}: stop that one first")
        asyncio.run(_serve(settings))

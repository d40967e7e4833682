"""The processes behind the demo: the same ones that `moorage serve` and `moorage devnet` are."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.journey.http import Api, until

ROOT = Path(__file__).resolve().parents[2]
MOORAGE = [sys.executable, "-m", "api.cli"]


def free_port(wish: int) -> int:
    """The wished port if nobody has it, else any."""
    for port in (wish, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port")


class Stage:
    """A home folder of its own and the processes in it; `close` ends them all."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="moorage-demo-"))
        self.home.chmod(0o755)  # the embedded database runs as a user of its own
        self.port = free_port(8600)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "MOORAGE_HOME": str(self.home),
            "MOORAGE_API_PORT": str(self.port),
            "PYTHONWARNINGS": "ignore",
        }
        self.environment.pop("DATABASE_URL", None)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """A long-running command; its output goes to a file in the home folder."""
        log = (self.home / f"{command}.log").open("ab")
        process = subprocess.Popen(
            [*MOORAGE, command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self._processes.append(process)
        return process

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command that ends. Raises RuntimeError with its own words if it fails."""
        done = subprocess.run(
            [*MOORAGE, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"moorage {arguments[0]}: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return done

    def wait_for_file(self, name: str, process: subprocess.Popen[bytes]) -> Any:
        """The JSON of a file that a process writes when it is ready."""

        def look() -> Any:
            if process.poll() is not None:
                raise RuntimeError(f"ended early; see its log in {self.home}: {self.tail()}")
            path = self.home / name
            return json.loads(path.read_text()) if path.exists() else None

        return until(f"{name} to be written", look)

    def serve(self) -> None:
        self.start("serve")
        api = Api(self.url)

        def healthy() -> bool:
            try:
                return bool(api.get("/v1/health")["status"] == "ok")
            except Exception:
                return False

        until("the API to answer", healthy)

    def kill_worker(self) -> int:
        """kill -9, as a crash would; the supervisor starts another one. Its pid."""
        pid = int(json.loads((self.home / "serve.json").read_text())["worker"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def worker_pid(self) -> int:
        return int(json.loads((self.home / "serve.json").read_text())["worker"])

    def tail(self) -> str:
        logs = sorted(self.home.glob("*.log"))
        return "\n".join(f"{p.name}: {p.read_text(errors='replace')[-1500:]}" for p in logs)

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        for process in reversed(self._processes):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

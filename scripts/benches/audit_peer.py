"""pymerkle, in an environment of its own under .cache/pymerkle, from its own lock.

Its licence (GPL) keeps it out of what we ship: it is only ever run, by its own Python.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "pymerkle.txt"
CACHE = ROOT / ".cache" / "pymerkle"


class Peer:
    """Its running driver."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def per_s(self, operation: str, count: int) -> float:
        """Entries a second: `single`, a call each, or `bulk`, one call for all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([operation, count]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("pymerkle's driver has ended")
        return count / float(answer)


@contextmanager
def peer(entries: Sequence[bytes], folder: Path) -> Iterator[Peer]:
    """pymerkle with a new database in `folder` and the same entries as we."""
    python = _set_up()
    lines = folder / "entries"
    lines.write_text("\n".join(entry.hex() for entry in entries))
    driver = Path(__file__).with_name("pymerkle_driver.py")
    command: list[str | Path] = [python, driver, lines, folder / "pymerkle.db"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        try:
            yield Peer(process)
        finally:
            process.terminate()


def _set_up() -> Path:
    """pymerkle's Python; made anew when the lock changes."""
    home, stamp = CACHE / "venv", CACHE / "lock.sha256"
    key = f"{sys.version} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"
    if not stamp.exists() or stamp.read_text() != key:
        CACHE.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        uv: list[str | Path] = [sys.executable, "-m", "uv", "--quiet", "--no-cache"]
        subprocess.run([*uv, "venv", "--python", sys.executable, home], check=True)
        install = [*uv, "pip", "install", "--python", home, "--require-hashes", "-r", LOCK]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_text(key)
    return home / "bin" / "python"

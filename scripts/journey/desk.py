"""The auditor's desk: an empty folder with the verifier alone, its Python isolated, no network."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.journey.stage import ROOT

VERIFIER = ROOT / "custody" / "audit" / "verify.py"


@dataclass(frozen=True)
class Desk:
    """`log_key` is what the auditor knows of the log."""

    folder: Path
    log_key: str

    def run(
        self, command: str, *arguments: str, **files: bytes
    ) -> subprocess.CompletedProcess[str]:
        """The verifier's answer. Each of `files` is put on the desk first, by its name."""
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        return subprocess.run(
            [
                *(sys.executable, "-I", VERIFIER.name, command, *arguments),
                *("--log-key", self.log_key),
            ],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def desk(log_key: str) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(VERIFIER, folder)
        yield Desk(Path(folder), log_key)

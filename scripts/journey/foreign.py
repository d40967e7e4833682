"""A client that knows nothing of us reads the log over HTTP and makes its own proof of tiles."""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.journey.scene import Scene
from scripts.journey.show import line
from scripts.journey.stage import ROOT

VERIFIER = ROOT / "custody" / "audit" / "verify.py"


def read_log(scene: Scene, seq: int) -> None:
    """tlog-scales has the prefix of the log and no token; `seq` is an entry of the auditor's."""
    if importlib.util.find_spec("tlog_scales") is None:
        line("tlog-scales is not installed: no foreign client reads the log")
        return
    prefix = f"{scene.stage.url}/v1/audit"
    made = subprocess.run(
        [sys.executable, "-m", "tlog_scales.cli", "gen-proof", prefix, str(seq)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    size = made.stdout.decode().partition("\n\n")[2].split("\n")[1:2]
    line(f"tlog-scales reads {' '.join(size)} entries' tiles and proves entry {seq} by itself")
    leaf = str(scene.auditor.get(f"/v1/audit/entries/{seq}")["leaf"]).encode()
    right = _verifies(scene, leaf, made.stdout)
    scene.checks.that(right, "its tlog-proof verifies with the entry")
    wrong = _verifies(scene, leaf.replace(b'"data"', b'"date"'), made.stdout)
    scene.checks.that(not wrong, "and not with a changed one")


def _verifies(scene: Scene, entry: bytes, proof: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        files = {"entry": entry, "proof": proof}
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        options = [part for name in files for part in (f"--{name}", str(Path(folder) / name))]
        done = subprocess.run(
            [
                *(sys.executable, "-I", str(VERIFIER), "inclusion", *options),
                *("--log-key", scene.founded["log_key"]),
            ],
            capture_output=True,
            check=False,
            timeout=60,
        )
    return done.returncode == 0

"""A client that knows nothing of us reads the log over HTTP and makes its own proof of tiles."""

import importlib.util
import subprocess
import sys

from scripts.journey.desk import desk
from scripts.journey.scene import Scene
from scripts.journey.show import line


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
    options = ("--entry", "entry", "--proof", "proof")
    with desk(scene.founded["log_key"]) as alone:
        return alone.run("inclusion", *options, entry=entry, proof=proof).returncode == 0

"""Step 9: the keys are in the signer's memory and in no other process's (property 43)."""

import json
import subprocess
import sys

from scripts.journey.scene import Scene
from scripts.journey.show import line
from scripts.journey.stage import ROOT


def scan(scene: Scene) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.memory_scan", str(scene.stage.home)],
        cwd=ROOT,
        env=scene.stage.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    scene.checks.equal(done.returncode, 0, "the memory of every process is looked through")
    if done.returncode:
        line(done.stderr[-500:])
        return
    found = json.loads(done.stdout)
    users = {row["name"]: row["uid"] for row in found["processes"]}
    if users["signer"] == users["api"]:
        line(f"skipped: signer and API are one OS user here (uid {users['api']}); see serve.log")
    else:
        line(f"the signer is uid {users['signer']}, worker and API are uid {users['api']}")
    for row in found["processes"]:
        _check(scene, row, found["secrets"])


def _check(scene: Scene, row: dict[str, object], secrets: int) -> None:
    name, copies = row["name"], row["copies"]
    if copies is None:
        line(f"the kernel shows the memory of the {name} to nobody but root")
    elif name == "signer":
        scene.checks.that(copies != 0, f"{copies} copies of {secrets} secrets in the signer")
    else:
        scene.checks.equal(copies, 0, f"{copies} copies of {secrets} secrets in the {name}")

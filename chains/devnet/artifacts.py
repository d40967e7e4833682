"""Compiled contracts: our own, other people's compiled here, and as their packages compiled them.

Nothing of other people's is in git. contracts/world holds one small file of imports a compiler;
the output goes to ignored folders beside it, where forge finds it up to date the next time.
"""

import os
import subprocess
from pathlib import Path

from chains.devnet.anvil import REPO, foundry_binary
from chains.devnet.rpc import Artifact, DevnetError

OUT = REPO / "contracts" / "out"
PACKAGES = REPO / "node_modules"
PROJECT = REPO / "contracts" / "world"
PROFILES = ("aave", "morpho", "metamorpho")
"""The profiles of contracts/world/foundry.toml."""
LOG_TAIL = 4_000


def compile_all() -> None:
    """Compile every profile, side by side; raises DevnetError with the end of forge's output."""
    builds = {profile: _start_build(profile) for profile in PROFILES}
    outputs = {profile: build.communicate()[0] for profile, build in builds.items()}
    for profile, build in builds.items():
        if build.returncode != 0:
            raise DevnetError(f"compiling {profile}: {outputs[profile][-LOG_TAIL:]}")


def _start_build(profile: str) -> subprocess.Popen[str]:
    cache = REPO / ".cache"
    places = {"HOME": str(cache / "home"), "XDG_DATA_HOME": str(cache / "xdg")}
    return subprocess.Popen(
        [foundry_binary("forge"), "build", "--root", PROJECT],
        env={**os.environ, **places, "FOUNDRY_PROFILE": profile},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def own_artifact(name: str) -> Artifact:
    """One of our own contracts, as scripts/setup_node built it."""
    return Artifact.load(OUT / f"{name}.sol" / f"{name}.json")


def compiled(profile: str, name: str) -> Artifact:
    """A contract that `compile_all` built, with its libraries still to be linked."""
    return Artifact.load(PROJECT / "out" / profile / f"{name}.sol" / f"{name}.json")


def packaged(path: str) -> Artifact:
    """A contract as its package compiled it; `path` is below node_modules."""
    return Artifact.load(PACKAGES / Path(path))

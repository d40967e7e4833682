"""Go's golang.org/x/mod/sumdb: note and tlog, the code behind Go's checksum database."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.made import CHANGED, Made, missing, wrong_proofs

pytestmark = pytest.mark.postgres

SOURCE = Path(__file__).parent / "sumdb" / "main.go"
GOPATH = os.environ.get("MOORAGE_GOPATH", "/usr/share/gocode")
"""Where the Debian package golang-golang-x-mod-dev puts its sources."""


@pytest.fixture(scope="package")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once. No module is fetched: the sources are the distribution's."""
    go = shutil.which("go")
    if go is None or not (Path(GOPATH) / "src/golang.org/x/mod/sumdb/note").is_dir():
        missing("go", "golang-go and golang-golang-x-mod-dev are not installed")
    folder = tmp_path_factory.mktemp("sumdb")
    own = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": "", "CGO_ENABLED": "0"}
    caches = {"GOCACHE": str(folder / "cache"), "HOME": str(folder)}
    done = subprocess.run(
        [str(go), "build", "-o", str(folder / "verify"), str(SOURCE)],
        env={**os.environ, **own, **caches},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "verify"


def run(program: Path, made: Made, tmp_path: Path, given: dict[str, Any] | None = None) -> str:
    """What the program says last, with `verified` for success."""
    (tmp_path / "old").write_text(made.old.note)
    (tmp_path / "proofs").write_text(json.dumps(given or {"Inclusion": [], "Consistency": []}))
    arguments = [program, made.folder, made.vkey, tmp_path / "old", tmp_path / "proofs"]
    done = subprocess.run(
        [str(a) for a in arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == (0 if done.stdout == "verified\n" else 1), done.stderr
    return done.stdout.strip()


def proofs(made: Made) -> dict[str, Any]:
    return {
        "Inclusion": [
            {"Index": i, "Hashes": [h.hex() for h in made.inclusion(i).hashes]}
            for i in made.samples()
        ],
        "Consistency": [h.hex() for h in made.consistency().hashes],
    }


def test_it_verifies_our_log(program: Path, made: Made, tmp_path: Path) -> None:
    assert run(program, made, tmp_path, proofs(made)) == "verified"


@pytest.mark.parametrize("what", CHANGED)
def test_it_refuses_a_changed_log(program: Path, made: Made, tmp_path: Path, what: str) -> None:
    given = proofs(made)
    changed = made.copy(tmp_path)
    CHANGED[what](changed)
    assert run(program, changed, tmp_path, given) != "verified"


def test_it_refuses_wrong_proofs(program: Path, made: Made, tmp_path: Path) -> None:
    good = proofs(made)
    for what, hashes in wrong_proofs(list(made.inclusion(300).hashes)).items():
        one = [{"Index": 300, "Hashes": [h.hex() for h in hashes]}]
        said = run(program, made, tmp_path, {**good, "Inclusion": one})
        assert said.startswith("our proof of 300"), what
    for what, hashes in wrong_proofs(list(made.consistency().hashes)).items():
        grown = [h.hex() for h in hashes]
        said = run(program, made, tmp_path, {**good, "Consistency": grown})
        assert said.startswith("our consistency proof"), what

"""Go's golang.org/x/mod/sumdb: note and tlog, the code behind Go's checksum database."""

from pathlib import Path

import pytest

from tests.interop import programs
from tests.interop.made import CHANGED, Made, wrong_proofs
from tests.interop.programs import hexes
from tests.interop.programs import run_sumdb as run
from tests.interop.programs import sumdb_proofs as proofs

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="package")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once."""
    return programs.build_sumdb(tmp_path_factory.mktemp("sumdb"))


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
        one = [{"Index": 300, "Hashes": hexes(hashes)}]
        said = run(program, made, tmp_path, {**good, "Inclusion": one})
        assert said.startswith("our proof of 300"), what
    for what, hashes in wrong_proofs(list(made.consistency().hashes)).items():
        grown = hexes(hashes)
        said = run(program, made, tmp_path, {**good, "Consistency": grown})
        assert said.startswith("our consistency proof"), what

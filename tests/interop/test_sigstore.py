"""@sigstore/verify (npm): its checkpoint and Merkle code accepts our proofs and no others."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from custody.audit.note import LogKey
from tests.interop.made import CHANGED_CHECKPOINTS, CHANGED_TILES, Made, missing, wrong_proofs

pytestmark = pytest.mark.postgres

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "node_modules" / "@sigstore" / "verify"


def ask(made: Made, cases: list[dict[str, Any]]) -> list[str]:
    """`ok`, or the reason of the refusal, a case."""
    node = shutil.which("node")
    if node is None or not PACKAGE.is_dir():
        missing("sigstore", "node or the package @sigstore/verify is not installed")
    key = LogKey.parse(made.vkey)
    document = {
        "cases": cases,
        "key": key.public_key.hex(),
        "keyId": key.id.hex(),
        "origin": key.name,
    }
    done = subprocess.run(
        [str(node), str(HERE / "sigstore.cjs")],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def case(made: Made, index: int, **changed: Any) -> dict[str, Any]:
    hashes = changed.pop("hashes", list(made.inclusion(index).hashes))
    return {
        "index": index,
        "entry": made.entries[index].hex(),
        "hashes": [h.hex() for h in hashes],
        "note": made.published(),
        **changed,
    }


def test_it_verifies_our_log(made: Made) -> None:
    cases = [case(made, index) for index in made.samples()]
    assert ask(made, cases) == ["ok"] * len(cases)


def test_it_refuses_what_was_changed(made: Made, tmp_path: Path) -> None:
    """Checkpoints, tiles that proofs are made from, entries, proofs."""
    cases = {"nothing": case(made, 300)}
    for what, change in {**CHANGED_CHECKPOINTS, **CHANGED_TILES}.items():
        changed = made.copy(tmp_path / what)
        change(changed)
        cases[what] = case(changed, 300 if what == "a full tile" else 600)
    cases["an entry"] = case(made, 300, entry=(made.entries[300] + b" ").hex())
    cases["another place"] = {**case(made, 300), "index": 301}
    cases["beyond the log"] = {**case(made, 300), "index": 704}
    for what, hashes in wrong_proofs(list(made.inclusion(300).hashes)).items():
        cases[f"proof: {what}"] = case(made, 300, hashes=hashes)
    answers = dict(zip(cases, ask(made, list(cases.values())), strict=True))
    assert answers.pop("nothing") == "ok"
    assert "ok" not in answers.values(), answers
    for what in ("the size", "the root", "the signature", "the signer"):
        assert answers[what] == "invalid checkpoint signature"

"""@sigstore/verify (npm): its checkpoint and Merkle code accepts our proofs and no others."""

from pathlib import Path

import pytest

from tests.interop.made import CHANGED_CHECKPOINTS, CHANGED_TILES, Made, wrong_proofs
from tests.interop.programs import ask_sigstore as ask
from tests.interop.programs import sigstore_case as case

pytestmark = pytest.mark.postgres


def test_it_verifies_our_log(made: Made) -> None:
    cases = [case(made, index) for index in made.samples()]
    assert ask(made, cases) == ["ok"] * len(cases)


def test_it_refuses_what_was_changed(made: Made, tmp_path: Path) -> None:
    """Checkpoints, tiles that proofs are made from, entries, proofs."""
    cases = {"nothing": case(made, 300)}
    for what, change in {**CHANGED_CHECKPOINTS, **CHANGED_TILES}.items():
        changed = made.copy(tmp_path / what)
        change(changed)
        cases[what] = case(changed, 77 if what == "a full tile" else 600)
    cases["an entry"] = case(made, 300, entry=(made.entries[300] + b" ").hex())
    cases["another place"] = {**case(made, 300), "index": 301}
    cases["beyond the log"] = {**case(made, 300), "index": made.new.size}
    for what, hashes in wrong_proofs(list(made.inclusion(300).hashes)).items():
        cases[f"proof: {what}"] = case(made, 300, hashes=hashes)
    answers = dict(zip(cases, ask(made, list(cases.values())), strict=True))
    assert answers.pop("nothing") == "ok"
    assert "ok" not in answers.values(), answers
    for what in ("the size", "the root", "the signature", "the signer"):
        assert answers[what] == "invalid checkpoint signature"

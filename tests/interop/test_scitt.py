"""scitt-cose (PyPI): its RFC 9162 code makes our roots again and verifies our proofs."""

from pathlib import Path
from typing import Any

import pytest

from custody.core.serialization import loads
from tests.interop import programs
from tests.interop.made import Made, wrong_proofs
from tests.interop.programs import audit_by_scitt as audit
from tests.interop.programs import hexes

pytestmark = pytest.mark.postgres

READS = programs.PROGRAMS["scitt-cose"].reads


@pytest.fixture
def scitt() -> Any:
    return programs.scitt()


def test_it_verifies_our_log(scitt: Any, made: Made) -> None:
    assert audit(scitt, made)
    entries = [e.hex() for e in made.entries]
    for index in made.samples()[::3]:
        assert scitt.inclusion_proof(entries, index) == hexes(made.inclusion(index).hashes)
    theirs = scitt.consistency_proof(entries, made.old.size, made.new.size)
    assert theirs == hexes(made.consistency().hashes)


@pytest.mark.parametrize("what", READS)
def test_it_refuses_a_changed_log(scitt: Any, made: Made, tmp_path: Path, what: str) -> None:
    changed = made.copy(tmp_path)
    READS[what](changed)
    assert not audit(scitt, changed)


def test_it_refuses_a_changed_root_and_wrong_proofs(scitt: Any, made: Made) -> None:
    index, size, root = 300, made.new.size, made.new.root.hex()
    entry, ours = made.entries[index].hex(), list(made.inclusion(index).hashes)
    assert not scitt.verify_inclusion(entry, index, size, hexes(ours), made.old.root.hex())
    assert not scitt.verify_inclusion(entry, index + 1, size, hexes(ours), root)
    for what, hashes in wrong_proofs(ours).items():
        assert not scitt.verify_inclusion(entry, index, size, hexes(hashes), root), what
    before, grown = made.old.root.hex(), list(made.consistency().hashes)
    for what, hashes in wrong_proofs(grown).items():
        assert not scitt.verify_consistency(before, root, 300, size, hexes(hashes)), what


def test_it_verifies_journals_in_two_levels(scitt: Any, made: Made) -> None:
    """Journals under their seal's root, and the seal's entry under the log's."""
    (entry,) = {j["entry"] for j in made.journals}
    said = loads(entry)["data"]
    root, log_root = said["root"].removeprefix("sha256:"), made.new.root.hex()
    leaves = [j["journal"].encode().hex() for j in made.journals]
    assert scitt.merkle_root(leaves) == root
    assert said["count"] == str(len(leaves))

    def holds(text: str, level: dict[str, Any], under: str) -> bool:
        place = int(level["index"]), int(level["size"])
        return bool(scitt.verify_inclusion(text.encode().hex(), *place, level["hashes"], under))

    for one in made.journals:
        assert holds(one["journal"], one["seal"], root)
        assert holds(one["entry"], one["log"], log_root)
        changed = one["journal"].replace('"amount":"', '"amount":"9')
        assert not holds(changed, one["seal"], root)
        assert not holds(one["journal"], one["seal"], log_root)
        assert not holds(entry.replace(root[:8], "00000000"), one["log"], log_root)

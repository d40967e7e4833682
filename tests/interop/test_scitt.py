"""scitt-cose (PyPI): its RFC 9162 code makes our roots again and verifies our proofs."""

import base64
from pathlib import Path
from typing import Any

import pytest

from custody.audit import tiles
from custody.core.serialization import loads
from tests.interop.made import CHANGED, CHANGED_ENTRIES, CHANGED_TILES, Made, missing, wrong_proofs

pytestmark = pytest.mark.postgres


@pytest.fixture
def scitt() -> Any:
    try:
        from scitt_cose import merkle as theirs
    except ImportError:
        missing("scitt-cose", "the package is not installed")
    return theirs


def entries_in(made: Made) -> list[bytes]:
    """As they lie in the folder's bundles."""
    tree = tiles.TileFolder(made.folder)
    parts = [tree.read(tiles.ENTRIES, i, made.new.size) for i in range(3)]
    return [entry for part in parts for entry in tiles.split_bundle(part)]


def root_said(made: Made) -> str:
    """What the published checkpoint says."""
    return base64.b64decode(made.published().split("\n")[2]).hex()


def audit(scitt: Any, made: Made) -> bool:
    """Roots and proofs as the folder gives them, by their code."""
    entries = [e.hex() for e in entries_in(made)]
    root, before, size = root_said(made), made.old.root.hex(), made.new.size
    included = [
        scitt.verify_inclusion(entries[i], i, size, _hex(made.inclusion(i).hashes), root)
        for i in made.samples()
    ]
    grown = _hex(made.consistency().hashes)
    return bool(
        scitt.merkle_root(entries) == root
        and scitt.merkle_root(entries[: made.old.size]) == before
        and all(included)
        and scitt.verify_consistency(before, root, made.old.size, size, grown)
    )


def _hex(hashes: Any) -> list[str]:
    return [h.hex() for h in hashes]


def test_it_verifies_our_log(scitt: Any, made: Made) -> None:
    assert audit(scitt, made)
    entries = [e.hex() for e in made.entries]
    for index in made.samples()[::3]:
        assert scitt.inclusion_proof(entries, index) == _hex(made.inclusion(index).hashes)
    theirs = scitt.consistency_proof(entries, made.old.size, made.new.size)
    assert theirs == _hex(made.consistency().hashes)


@pytest.mark.parametrize("what", [*CHANGED_TILES, *CHANGED_ENTRIES])
def test_it_refuses_a_changed_log(scitt: Any, made: Made, tmp_path: Path, what: str) -> None:
    changed = made.copy(tmp_path)
    CHANGED[what](changed)
    assert not audit(scitt, changed)


def test_it_refuses_a_changed_root_and_wrong_proofs(scitt: Any, made: Made) -> None:
    index, size, root = 300, made.new.size, made.new.root.hex()
    entry, ours = made.entries[index].hex(), list(made.inclusion(index).hashes)
    assert not scitt.verify_inclusion(entry, index, size, _hex(ours), made.old.root.hex())
    assert not scitt.verify_inclusion(entry, index + 1, size, _hex(ours), root)
    for what, hashes in wrong_proofs(ours).items():
        assert not scitt.verify_inclusion(entry, index, size, _hex(hashes), root), what
    before, grown = made.old.root.hex(), list(made.consistency().hashes)
    for what, hashes in wrong_proofs(grown).items():
        assert not scitt.verify_consistency(before, root, 300, size, _hex(hashes)), what


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

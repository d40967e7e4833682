"""tlog-scales (PyPI): reads checkpoint, tiles and entries by itself and makes its own proofs."""

from pathlib import Path
from typing import Any

import pytest

from custody.audit import proof
from tests.interop import programs
from tests.interop.made import CHANGED, Made, wrong_proofs
from tests.interop.programs import audit_by_scales as audit

pytestmark = pytest.mark.postgres


@pytest.fixture
def scales() -> Any:
    return programs.scales()


def test_it_verifies_our_log(scales: Any, made: Made) -> None:
    reader = audit(scales, made)
    for index in made.samples():
        theirs = reader.get_inclusion_proof(index, made.new.size)
        assert theirs.node_hashes == list(made.inclusion(index).hashes)
    theirs = reader.get_consistency_proof(made.old.size, made.new.size)
    assert theirs.node_hashes == list(made.consistency().hashes)


def test_its_tlog_proof_is_ours_byte_for_byte(
    scales: Any, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    from tlog_scales import cli

    for index in made.samples():
        asked = cli.build_parser().parse_args(["gen-proof", str(made.folder), str(index)])
        asked.func(asked)
        assert capsys.readouterr().out == proof.tlog_proof(made.inclusion(index), made.new)


@pytest.mark.parametrize("what", CHANGED)
def test_it_refuses_a_changed_log(scales: Any, made: Made, tmp_path: Path, what: str) -> None:
    changed = made.copy(tmp_path)
    CHANGED[what](changed)
    with pytest.raises(Exception):  # noqa: B017, PT011  (each layer has its own)
        audit(scales, changed)


def test_it_refuses_wrong_proofs(scales: Any, made: Made) -> None:
    tlog, index = scales.tlog, 300
    leaf = scales.tiles.leaf_hash(made.entries[index])
    ours, size, root = list(made.inclusion(index).hashes), made.new.size, made.new.root
    tlog.InclusionProof(index, size, ours).check(leaf, root)
    for what, hashes in wrong_proofs(ours).items():
        with pytest.raises(tlog.InclusionProofInvalid):
            tlog.InclusionProof(index, size, hashes).check(leaf, root)
            pytest.fail(what)
    with pytest.raises(tlog.InclusionProofInvalid):
        tlog.InclusionProof(index + 1, size, ours).check(leaf, root)
    grown = list(made.consistency().hashes)
    for what, hashes in wrong_proofs(grown).items():
        with pytest.raises(tlog.ConsistencyProofInvalid):
            tlog.ConsistencyProof(made.old.size, size, hashes).check(made.old.root, root)
            pytest.fail(what)


def test_it_verifies_a_cosigned_note(scales: Any, made: Made) -> None:
    """Our form of a cosignature, and our reading of the line, are theirs."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from custody.audit.note import CosignerKey, LogKey, Note, Signature, open_checkpoint

    secret = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    witness = CosignerKey("witness.example", secret.public_key().public_bytes_raw())
    plain = Note.parse(made.new.note)
    signed = secret.sign(witness.message(plain.text, 1_900_000_000))
    blob = (1_900_000_000).to_bytes(8, "big") + signed
    line = Signature(witness.name, witness.id, blob)
    cosigned = Note(plain.text, (*plain.signatures, line)).encode()
    theirs = scales.tlog.Checkpoint.from_text(cosigned)
    theirs.verify(scales.signing.Vkey.from_string(witness.vkey()))
    theirs.verify(scales.signing.Vkey.from_string(made.vkey))
    ours = open_checkpoint(cosigned, LogKey.parse(made.vkey), [witness])
    assert (ours.size, ours.root) == (theirs.size, theirs.root_hash)

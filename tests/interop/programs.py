"""The foreign programs: each reads a log by its own code and says whether it holds.

`PROGRAMS` asks all of them one thing of any log. An absent program skips, or fails where it is
required (`made.missing`).
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from custody.audit.note import LogKey
from tests.interop.made import (
    CHANGED,
    CHANGED_ENTRIES,
    CHANGED_TILES,
    Changes,
    Made,
    missing,
)

HERE = Path(__file__).parent
SIGSTORE = HERE.parents[1] / "node_modules" / "@sigstore" / "verify"
GOPATH = os.environ.get("MOORAGE_GOPATH", "/usr/share/gocode")
"""Where the Debian package golang-golang-x-mod-dev puts its sources."""


def scales() -> Any:
    """The modules of tlog-scales by name."""
    try:
        from tlog_scales import backend, reader, signing, tiles, tlog, utils
    except ImportError:
        missing("tlog-scales", "the package is not installed")
    names = {"backend": backend, "reader": reader, "signing": signing, "tiles": tiles}
    return SimpleNamespace(**names, tlog=tlog, utils=utils)


def audit_by_scales(scales: Any, made: Made) -> Any:
    """All that the package can check of a log, from its files alone. Raises if something is off."""
    vkey = scales.signing.Vkey.from_string(made.vkey)
    reader = scales.reader.TilesReader(scales.backend.LocalBackend(made.folder))
    head = reader.get_checkpoint()
    head.verify(vkey)
    assert reader.calculate_root_hash() == head.root_hash
    for index in range(head.size):
        leaf = scales.tiles.leaf_hash(reader.get_entry(index))
        assert leaf == reader.mth(index, index + 1)
        if index % 50 == 0:
            reader.get_inclusion_proof(index, head.size).check(leaf, head.root_hash)
    before = scales.tlog.Checkpoint.from_text(made.old.note)
    before.verify(vkey)
    grown = reader.get_consistency_proof(before.size, head.size)
    grown.check(before.root_hash, head.root_hash)
    return reader


def scitt() -> Any:
    """The Merkle code of scitt-cose."""
    try:
        from scitt_cose import merkle as theirs
    except ImportError:
        missing("scitt-cose", "the package is not installed")
    return theirs


def audit_by_scitt(scitt: Any, made: Made) -> bool:
    """Roots and proofs as the folder gives them, by their code."""
    entries = [e.hex() for e in made.bundles()]
    root = base64.b64decode(made.published().split("\n")[2]).hex()
    before, size = made.old.root.hex(), made.new.size
    included = [
        scitt.verify_inclusion(entries[i], i, size, hexes(made.inclusion(i).hashes), root)
        for i in made.samples()
    ]
    grown = hexes(made.consistency().hashes)
    return bool(
        scitt.merkle_root(entries) == root
        and scitt.merkle_root(entries[: made.old.size]) == before
        and all(included)
        and scitt.verify_consistency(before, root, made.old.size, size, grown)
    )


def hexes(hashes: Iterable[bytes]) -> list[str]:
    return [h.hex() for h in hashes]


def ask_sigstore(made: Made, cases: list[dict[str, Any]]) -> list[str]:
    """`ok`, or the reason of the refusal, a case."""
    node = shutil.which("node")
    if node is None or not SIGSTORE.is_dir():
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


def sigstore_case(made: Made, index: int, **changed: Any) -> dict[str, Any]:
    """One entry as the folder has it, with our proof of it."""
    hashes = changed.pop("hashes", made.inclusion(index).hashes)
    return {
        "index": index,
        "entry": made.bundles()[index].hex(),
        "hashes": hexes(hashes),
        "note": made.published(),
        **changed,
    }


def build_sumdb(folder: Path) -> Path:
    """The program over Go's packages. No module is fetched: the sources are the distribution's."""
    go = shutil.which("go")
    if go is None or not (Path(GOPATH) / "src/golang.org/x/mod/sumdb/note").is_dir():
        missing("go", "golang-go and golang-golang-x-mod-dev are not installed")
    own = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": "", "CGO_ENABLED": "0"}
    caches = {"GOCACHE": str(folder / "cache"), "HOME": str(folder)}
    done = subprocess.run(
        [str(go), "build", "-o", str(folder / "verify"), str(HERE / "sumdb" / "main.go")],
        env={**os.environ, **own, **caches},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "verify"


def run_sumdb(program: Path, made: Made, work: Path, proofs: dict[str, Any]) -> str:
    """What the program says last, with `verified` for success."""
    (work / "old").write_text(made.old.note)
    (work / "proofs").write_text(json.dumps(proofs))
    arguments = [program, made.folder, made.vkey, work / "old", work / "proofs"]
    done = subprocess.run(
        [str(a) for a in arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == (0 if done.stdout == "verified\n" else 1), done.stderr
    return done.stdout.strip()


def sumdb_proofs(made: Made) -> dict[str, Any]:
    return {
        "Inclusion": [
            {"Index": i, "Hashes": hexes(made.inclusion(i).hashes)} for i in made.samples()
        ],
        "Consistency": hexes(made.consistency().hashes),
    }


@dataclass(frozen=True)
class Program:
    """`refusal` says why it does not take a log, and is empty where it verifies; it may put files
    into the folder that it is given, and find them there again. `reads` are the changes of what
    the program looks at."""

    refusal: Callable[[Made, Path], str]
    reads: Changes


def _scales_refusal(made: Made, _: Path) -> str:
    modules = scales()
    try:
        audit_by_scales(modules, made)
    except Exception as error:  # each of its layers has its own
        return repr(error)
    return ""


def _scitt_refusal(made: Made, _: Path) -> str:
    return "" if audit_by_scitt(scitt(), made) else "roots or proofs are not these"


def _sigstore_refusal(made: Made, _: Path) -> str:
    answers = ask_sigstore(made, [sigstore_case(made, index) for index in made.samples()])
    return "; ".join(sorted(set(answers) - {"ok"}))


def _sumdb_refusal(made: Made, work: Path) -> str:
    program = work / "verify"
    if not program.exists():
        build_sumdb(work)
    said = run_sumdb(program, made, work, sumdb_proofs(made))
    return "" if said == "verified" else said


# scitt-cose has no signed notes: it is told the root.
PROGRAMS = {
    "tlog-scales": Program(_scales_refusal, CHANGED),
    "scitt-cose": Program(_scitt_refusal, {**CHANGED_TILES, **CHANGED_ENTRIES}),
    "sigstore": Program(_sigstore_refusal, CHANGED),
    "go": Program(_sumdb_refusal, CHANGED),
}

"""The files of a bundle, made of what was read. Pure: same rows, same bytes.

`custody/audit/verify.py` checks every one of them, and knows them apart from this file.
"""

import csv
import hashlib
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custody.assurance import archive, claims
from custody.assurance.bundle_text import README
from custody.audit import merkle, note, proof, tiles
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from custody.core.serialization import loads

SCHEMA = "moorage.bundle/2"
WIDTH = tiles.WIDTH
INCLUSION_PROOFS_MAX = 1000
DECISION_COLUMNS = (
    *("seq", "intent", "digest", "policy", "outcome", "rule", "approvals_required"),
    *("approved_by", "decided_at"),
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry in its place. `body` is None where it is another tenant's and withheld."""

    seq: int
    leaf_hash: bytes
    kind: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a bundle is made of; `leaves` are all below the size of `head`, in order.

    `anchors` are what the log says of anchors, `proofs` the documents of `anchors/` and `forks/` by
    file name, `ledger` the export of the journals that the log's seals commit to.
    """

    vkey: str
    head: Checkpoint
    older: Sequence[Checkpoint]
    leaves: Sequence[Leaf]
    anchors: Sequence[Any] = ()
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    ledger: bytes | None = None
    disclosures: Sequence[Mapping[str, str]] = ()


def pack(evidence: Evidence) -> bytes:
    """The bundle. Raises ValueError where it is too large for a plain zip."""
    return archive.write(whole(evidence))


def whole(evidence: Evidence) -> dict[str, bytes]:
    """Every file in its order."""
    files = files_of(evidence)
    return with_manifest(files, evidence, _claims(evidence, files))


def files_of(evidence: Evidence) -> dict[str, bytes]:
    """Every file but the manifest."""
    node = merkle.nodes_of([leaf.leaf_hash for leaf in evidence.leaves])
    heads = [*evidence.older, evidence.head]
    inclusion = _inclusion(node, evidence)
    files = {
        "README.txt": README.encode(),
        "policy": f"log {evidence.vkey}\nquorum none\n".encode(),
        "checkpoint": evidence.head.note.encode(),
        **{f"checkpoints/{c.size:016d}": c.note.encode() for c in evidence.older},
        **_entries(evidence.leaves),
        **_tiles(node, evidence.head.size),
        "proofs/inclusion.json": canonical.encode(inclusion),
        "proofs/consistency.json": canonical.encode(_consistency(node, heads)),
        "anchors.json": canonical.encode(evidence.anchors),
        "people.json": canonical.encode(_people(evidence)),
        **_policies(evidence),
        "decisions.csv": _decisions(evidence),
        **evidence.proofs,
    }
    if evidence.ledger is not None:
        files["ledger.csv"] = evidence.ledger
    if evidence.disclosures:
        files["disclosures.json"] = canonical.encode([dict(d) for d in evidence.disclosures])
    return files


def with_manifest(
    files: Mapping[str, bytes], evidence: Evidence, claimed: Sequence[str]
) -> dict[str, bytes]:
    """The files in their order, after the manifest that has the hash of each."""
    ordered = dict(sorted(files.items()))
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "origin": note.LogKey.parse(evidence.vkey).name,
        "size": str(evidence.head.size),
        "claims": list(claimed),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in ordered.items()},
    }
    return {"manifest.json": canonical.encode(manifest), **ordered}


def _claims(evidence: Evidence, files: Mapping[str, bytes]) -> list[str]:
    shown = {leaf.kind for leaf in evidence.leaves if leaf.body is not None}
    sweeps = any(
        data["body"]["kind"] == "sweep_batch" for _, data in _told(evidence, "intent.created")
    )
    return claims.of(shown, files, anchors=bool(evidence.anchors), sweeps=sweeps)


def _entries(leaves: Sequence[Leaf]) -> dict[str, bytes]:
    files = {}
    for index in range(0, -(-len(leaves) // WIDTH)):
        part = leaves[index * WIDTH : (index + 1) * WIDTH]
        files[f"entries/{index:06d}.jsonl"] = b"".join(_line(leaf) + b"\n" for leaf in part)
    return files


def _line(leaf: Leaf) -> bytes:
    return b"#" + leaf.leaf_hash.hex().encode() if leaf.body is None else leaf.body


def _tiles(node: merkle.Node, size: int) -> dict[str, bytes]:
    """Every tile of the tree of `size`, full ones and the last of each level."""
    files: dict[str, bytes] = {}
    for level in itertools.count():
        count = size >> 8 * level
        if not count:
            return files
        for index in range(0, -(-count // WIDTH)):
            width = min(WIDTH, count - index * WIDTH)
            hashes = [node(8 * level, index * WIDTH + i) for i in range(width)]
            files[tiles.tile_path(level, index, width)] = b"".join(hashes)
    raise AssertionError("not reached")


def _inclusion(node: merkle.Node, evidence: Evidence) -> list[dict[str, Any]]:
    """Proofs of settled withdrawals, and of the last entry that is shown."""
    shown = [leaf for leaf in evidence.leaves if leaf.body is not None]
    settled = [leaf.seq for leaf in shown if leaf.kind == "withdrawal.settled"]
    wanted = sorted({*settled[-INCLUSION_PROOFS_MAX:], *[leaf.seq for leaf in shown[-1:]]})
    return [proof.inclusion(node, seq, evidence.head.size).to_json() for seq in wanted]


def _consistency(node: merkle.Node, heads: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    pairs = itertools.pairwise(heads)
    return [proof.consistency(node, old.size, new.size).to_json() for old, new in pairs]


def _told(evidence: Evidence, *kinds: str) -> list[tuple[int, Any]]:
    """Number and data of the shown entries of these kinds."""
    return [
        (leaf.seq, loads(leaf.body)["data"])
        for leaf in evidence.leaves
        if leaf.kind in kinds and leaf.body is not None
    ]


def _people(evidence: Evidence) -> list[dict[str, str]]:
    """Who was enrolled, by which entry: what approvals are verified with."""
    names = ("person", "public_key", "role")
    return [
        {**{n: data[n] for n in names}, "seq": str(seq)}
        for seq, data in _told(evidence, "person.enrolled")
    ]


def _policies(evidence: Evidence) -> dict[str, bytes]:
    loaded = _told(evidence, "policy.loaded", "risk.loaded")
    return {f"policies/{seq:012d}.json": canonical.encode(d["document"]) for seq, d in loaded}


def _decisions(evidence: Evidence) -> bytes:
    """One line a decision; the whole record is in the entry of that number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(DECISION_COLUMNS)
    for seq, data in _told(evidence, "decision.made"):
        record = data["decision"]
        by = " ".join(approval["person"] for approval in record["approvals"])
        intent = (seq, data["intent"], record["intent"], record["policy"])
        said = (record["outcome"], record["rule"], record["approvals_required"])
        writer.writerow((*intent, *said, by, record["decided_at"]))
    return out.getvalue().encode()

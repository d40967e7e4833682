"""The evidence that an auditor takes away: one file, verified offline by `custody/audit/verify.py`.

Same rows, same bytes. A bundle for one tenant carries that tenant's entries in full and of all
others only the leaf hash, so that the root can be recomputed and nobody else's business is told.

    manifest.json            hash of each file; origin and size
    checkpoint               the signed note; checkpoints/<size> holds earlier ones
    entries/000000.jsonl     256 entries a file, one canonical JSON a line, `#<hex>` if withheld
    leaves/000000.bin        their leaf hashes: a changed entry is found by its number
    proofs/inclusion.json    of what matters most to an auditor; proofs/consistency.json
    anchors.json people.json what the chain and the log say about checkpoints and approvers
    ledger.csv               every posting; not covered by the log's signature
"""

import csv
import hashlib
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.assurance import archive
from custody.audit import merkle, note, proof
from custody.audit.checkpoint import Checkpoint, checkpoint_of, latest_checkpoint
from custody.core import canonical
from custody.core.db import ReadSession
from custody.core.errors import NotFound
from custody.core.ids import format_id
from custody.core.serialization import loads

SCHEMA = "moorage.bundle/1"
WIDTH = 256
RECENT_CHECKPOINTS = 8
INCLUSION_PROOFS_MAX = 1000

_LEAVES = """
SELECT s.seq, s.leaf_hash, e.tenant_id, e.kind, e.body
FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
WHERE s.seq < :size ORDER BY s.seq
"""
_ANCHORS = """
SELECT evidence FROM anchors WHERE state = 'anchored' AND size <= :size ORDER BY size, chain_id
"""
_HEADS = """
SELECT size, root, note, signed_at FROM audit_checkpoints WHERE size < :size AND (
  size IN (SELECT size FROM anchors WHERE state = 'anchored')
  OR size IN (SELECT size FROM audit_checkpoints WHERE size < :size
              ORDER BY size DESC LIMIT :recent)
) ORDER BY size
"""


async def build(
    s: ReadSession,
    log_vkey: str,
    *,
    size: int | None = None,
    tenant_id: UUID | None = None,
    ledger: bool = True,
) -> bytes:
    """The bundle at the checkpoint of `size` (the newest if None).

    Open `s` as a snapshot: all of it must be of one moment. `tenant_id` withholds what is others'.
    Raises NotFound when there is no such checkpoint.
    """
    head = await (latest_checkpoint(s) if size is None else checkpoint_of(s, size))
    if head is None:
        raise NotFound("checkpoint", size if size is not None else "latest")
    rows = await s.all(_LEAVES, {"size": head.size})
    heads = await s.all(_HEADS, {"size": head.size, "recent": RECENT_CHECKPOINTS})
    older = [Checkpoint(**row._mapping) for row in heads]
    anchors = await s.all(_ANCHORS, {"size": head.size})
    own = [row for row in rows if tenant_id is None or row.tenant_id == tenant_id]
    node = merkle.nodes_of([row.leaf_hash for row in rows])
    files = {
        "checkpoint": head.note.encode(),
        **{f"checkpoints/{c.size:016d}": c.note.encode() for c in older},
        **_entries(rows, tenant_id),
        "proofs/inclusion.json": canonical.encode(_inclusion(node, own, head.size)),
        "proofs/consistency.json": canonical.encode(_consistency(node, [*older, head])),
        "anchors.json": canonical.encode([row.evidence for row in anchors]),
        "people.json": canonical.encode(_people(own)),
    }
    if ledger:
        files["ledger.csv"] = await _ledger(s, tenant_id)
    return archive.write(_with_manifest(files, note.LogKey.parse(log_vkey).name, head.size))


def _with_manifest(files: Mapping[str, bytes], origin: str, size: int) -> dict[str, bytes]:
    ordered = dict(sorted(files.items()))
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "origin": origin,
        "size": str(size),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in ordered.items()},
    }
    return {"manifest.json": canonical.encode(manifest), **ordered}


def _entries(rows: Sequence[Row[Any]], tenant_id: UUID | None) -> dict[str, bytes]:
    files = {}
    for index in range(0, -(-len(rows) // WIDTH)):
        part = rows[index * WIDTH : (index + 1) * WIDTH]
        lines = b"".join(_line(row, tenant_id) + b"\n" for row in part)
        files[f"entries/{index:06d}.jsonl"] = lines
        files[f"leaves/{index:06d}.bin"] = b"".join(row.leaf_hash for row in part)
    return files


def _line(row: Row[Any], tenant_id: UUID | None) -> bytes:
    if tenant_id is None or row.tenant_id == tenant_id:
        return bytes(row.body)
    return b"#" + str(row.leaf_hash.hex()).encode()


def _inclusion(node: merkle.Node, own: Sequence[Row[Any]], size: int) -> list[dict[str, Any]]:
    """Proofs of settled withdrawals, and of the last entry."""
    wanted = [row.seq for row in own if row.kind == "withdrawal.settled"]
    wanted = sorted({*wanted[-INCLUSION_PROOFS_MAX:], *[row.seq for row in own[-1:]]})
    return [proof.inclusion(node, seq, size).to_json() for seq in wanted]


def _consistency(node: merkle.Node, heads: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    pairs = itertools.pairwise(heads)
    return [proof.consistency(node, old.size, new.size).to_json() for old, new in pairs]


def _people(own: Sequence[Row[Any]]) -> list[dict[str, str]]:
    """Who was enrolled, by which entry: what approvals are verified with."""
    people = []
    for row in own:
        if row.kind == "person.enrolled":
            data = loads(row.body)["data"]
            names = ("person", "public_key", "role")
            people.append({**{n: data[n] for n in names}, "seq": str(row.seq)})
    return people


_POSTINGS = """
SELECT t.id, t.tenant_id, t.event_at, t.code, t.amount, t.reference,
       d.asset_id, d.code AS debit_code, c.code AS credit_code
FROM transfers t
JOIN accounts d ON d.id = t.debit_account_id AND d.tenant_id = t.tenant_id
JOIN accounts c ON c.id = t.credit_account_id AND c.tenant_id = t.tenant_id
WHERE t.kind IN ('posted', 'post') AND (CAST(:tenant AS uuid) IS NULL OR t.tenant_id = :tenant)
ORDER BY t.seq
"""


async def _ledger(s: ReadSession, tenant_id: UUID | None) -> bytes:
    """Two lines a transfer: what was debited and what was credited, in base units."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("transfer", "tenant", "at", "code", "asset", "account", "debit", "credit", "reference")
    )
    for t in await s.all(_POSTINGS, {"tenant": tenant_id}):
        head = (
            format_id("transfer", t.id),
            format_id("tenant", t.tenant_id),
            t.event_at.isoformat(),
            t.code,
            t.asset_id,
        )
        amount = str(int(t.amount))
        writer.writerow((*head, t.debit_code, amount, "0", t.reference or ""))
        writer.writerow((*head, t.credit_code, "0", amount, t.reference or ""))
    return out.getvalue().encode()

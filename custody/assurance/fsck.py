"""Rebuild the audit log from its rows and compare: numbers, hashes, roots, notes, tiles, anchors.

Finds what was changed by hand, whoever did it. Reads everything; run it in one snapshot
(`Database.snapshot`). The ledger has its own (`custody/ledger/fsck.py`).
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Row

from custody.audit import merkle, note, tiles
from custody.core import canonical
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.ids import format_id
from custody.core.serialization import loads
from custody.ledger.fsck import Break

BATCH = 4096

# Each answers (subject, detail) of what must not be.
_RULES = {
    "entry_lost": """
        SELECT 'entry ' || e.id AS subject, 'has no number and waits for none' AS detail
        FROM audit_entries e
        WHERE NOT EXISTS (SELECT FROM audit_sequence s WHERE s.entry_id = e.id)
        AND NOT EXISTS (SELECT FROM audit_pending p WHERE p.entry_id = e.id)
    """,
    "entry_missing": """
        SELECT 'seq ' || s.seq AS subject, 'has no entry' AS detail FROM audit_sequence s
        WHERE NOT EXISTS (SELECT FROM audit_entries e WHERE e.id = s.entry_id)
    """,
    "entry_twice": """
        SELECT 'entry ' || p.entry_id AS subject, 'waits for a number and has one' AS detail
        FROM audit_pending p JOIN audit_sequence s ON s.entry_id = p.entry_id
    """,
    "anchor": """
        SELECT 'anchor at ' || a.size || ' on chain ' || a.chain_id AS subject,
               'is not the signed root' AS detail
        FROM anchors a LEFT JOIN audit_checkpoints c ON c.size = a.size
        WHERE c.root IS DISTINCT FROM a.root
    """,
}
_ROWS = """
SELECT s.seq, s.leaf_hash, e.id, e.tenant_id, e.kind, e.at, e.body
FROM audit_sequence s JOIN audit_entries e ON e.id = s.entry_id
WHERE s.seq > :after ORDER BY s.seq LIMIT :batch
"""


async def check(s: ReadSession, log_vkey: str, folder: Path | None = None) -> list[Break]:
    """Everything that does not hold, in the order of the rules; `folder` adds the tiles on disk."""
    breaks = [
        Break(rule, row.subject, row.detail)
        for rule, query in _RULES.items()
        for row in await s.all(query)
    ]
    key = note.LogKey.parse(log_vkey)
    heads = {r.size: r for r in await s.all("SELECT size, root, note FROM audit_checkpoints")}
    staged = {r.size: r.root for r in await s.all("SELECT size, root FROM audit_roots")}
    leaves, found = await _rebuild(s, staged)
    breaks += found
    for size in sorted(heads):
        breaks += _check_note(heads[size], key, len(leaves))
    if folder is not None and heads:
        tree = tiles.TileFolder(folder)
        breaks += _check_folder(tree, heads[max(heads)], leaves)
        breaks += _check_published(tree, key, {size: row.note for size, row in heads.items()})
    return breaks


async def _rebuild(s: ReadSession, staged: dict[int, bytes]) -> tuple[list[bytes], list[Break]]:
    """Leaf hashes out of the entries themselves, and what is wrong on the way."""
    leaves: list[bytes] = []
    breaks: list[Break] = []
    frontier, after = merkle.Frontier(), -1
    while rows := await s.all(_ROWS, {"after": after, "batch": BATCH}):
        for row in rows:
            if row.seq != after + 1:
                breaks.append(Break("numbers", f"seq {after + 1}", "is missing"))
            after = row.seq
            leaf = merkle.leaf_hash(row.body)
            breaks += _check_entry(row, leaf)
            leaves.append(leaf)
            frontier.push(leaf)
            root = staged.get(frontier.size)
            if root is not None and root != frontier.root():
                detail = "the entries do not have the root that was signed"
                breaks.append(Break("root", f"size {frontier.size}", detail))
    return leaves, breaks


def _check_entry(row: Row[Any], leaf: bytes) -> list[Break]:
    subject = f"entry {row.seq} ({row.id})"
    if leaf != row.leaf_hash:
        return [Break("leaf_hash", subject, "is not the entry that was numbered")]
    body = loads(row.body)
    columns = {
        "id": format_id("entry", row.id),
        "tenant": format_id("tenant", row.tenant_id),
        "kind": row.kind,
        "at": iso_us(row.at),
    }
    if any(body.get(name) != value for name, value in columns.items()):
        return [Break("columns", subject, "its columns do not say what its body says")]
    if canonical.encode(body) != row.body:
        return [Break("canonical", subject, "is not in canonical form")]
    return []


def _check_note(head: Row[Any], key: note.LogKey, count: int) -> list[Break]:
    subject = f"checkpoint of size {head.size}"
    if head.size > count:
        return [Break("truncated", subject, f"was signed, but only {count} entries are left")]
    try:
        signed = note.open_checkpoint(head.note, key)
    except note.NoteInvalid as error:
        return [Break("note", subject, str(error))]
    if (signed.size, signed.root) != (head.size, head.root):
        return [Break("note", subject, "the note signs another size or root")]
    return []


def _check_folder(tree: tiles.TileFolder, head: Row[Any], leaves: list[bytes]) -> list[Break]:
    """The published files of the newest checkpoint against the rows."""
    breaks = []
    for index in range(-(-head.size // tiles.WIDTH)):
        expected = leaves[index * tiles.WIDTH : min(head.size, (index + 1) * tiles.WIDTH)]
        breaks += _check_tile(tree, index, head.size, expected)
    try:
        if tree.root(head.size) != head.root:
            breaks.append(Break("tiles", f"size {head.size}", "upper tiles have another root"))
    except FileNotFoundError as error:
        breaks.append(Break("tiles", str(error.filename), "is missing"))
    return breaks


def _check_published(
    tree: tiles.TileFolder, key: note.LogKey, notes: dict[int, str]
) -> list[Break]:
    """The file that the world reads, while the service may be at work.

    It may be newer than our snapshot of the rows, or one behind them: a note is stored before it
    is published. Older, or other than what was signed for its size, is a break.
    """
    try:
        published = (tree.folder / tiles.CHECKPOINT).read_text()
        size = note.open_checkpoint(published, key).size
    except FileNotFoundError:
        return [Break("tiles", "checkpoint", "is missing")]
    except note.NoteInvalid as error:
        return [Break("tiles", "checkpoint", str(error))]
    newest_two = sorted(notes)[-2:]
    if size > newest_two[-1] or (size in newest_two and notes[size] == published):
        return []
    return [Break("tiles", "checkpoint", "is neither the newest signed note nor the one before")]


def _check_tile(
    tree: tiles.TileFolder, index: int, size: int, expected: list[bytes]
) -> list[Break]:
    try:
        hashes = tree.hashes(0, index, size)
        entries = tiles.split_bundle(tree.read(tiles.ENTRIES, index, size))
    except (FileNotFoundError, ValueError) as error:
        return [Break("tiles", f"tile {index}", f"cannot be read: {error}")]
    breaks = []
    if hashes != expected:
        breaks.append(Break("tiles", f"tile 0/{index}", "has other hashes than the rows"))
    if [merkle.leaf_hash(e) for e in entries] != expected:
        breaks.append(Break("tiles", f"tile entries/{index}", "has other entries than the rows"))
    return breaks

"""What was changed by hand below the service is found in one run."""

from pathlib import Path

import pytest

from custody.assurance import fsck
from custody.audit import sequence
from custody.core.db import Database
from tests.custody.audit.entries import LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

VKEY = LogSigner().key.vkey()
HASH = "sha256('\\x00'::bytea || body)"

EDITS = {
    "body": (
        "UPDATE audit_entries SET body = replace(encode(body, 'escape'), 'c-1', 'c-2')::bytea"
        " WHERE id = (SELECT entry_id FROM audit_sequence WHERE seq = 3)",
        "leaf_hash",
    ),
    "body and hash": (
        "UPDATE audit_entries SET body = replace(encode(body, 'escape'), 'c-1', 'c-2')::bytea"
        " WHERE id = (SELECT entry_id FROM audit_sequence WHERE seq = 3);"
        f"UPDATE audit_sequence s SET leaf_hash = (SELECT {HASH} FROM audit_entries e"
        " WHERE e.id = s.entry_id) WHERE seq = 3",
        "root",
    ),
    "column": (
        "UPDATE audit_entries SET kind = 'token.issued'"
        " WHERE id = (SELECT entry_id FROM audit_sequence WHERE seq = 3)",
        "columns",
    ),
    "last numbers removed": ("DELETE FROM audit_sequence WHERE seq > 7", "truncated"),
    "a number removed": ("DELETE FROM audit_sequence WHERE seq = 3", "numbers"),
    "an entry removed": (
        "ALTER TABLE audit_sequence DROP CONSTRAINT fk_audit_sequence_entry_id_audit_entries;"
        "DELETE FROM audit_entries WHERE id = (SELECT entry_id FROM audit_sequence WHERE seq = 3)",
        "entry_missing",
    ),
    "two numbers swapped": (
        "UPDATE audit_sequence SET seq = 1000 WHERE seq = 3;"
        "UPDATE audit_sequence SET seq = 3 WHERE seq = 4;"
        "UPDATE audit_sequence SET seq = 4 WHERE seq = 1000",
        "root",
    ),
    "note": ("UPDATE audit_checkpoints SET note = replace(note, '10', '11')", "note"),
    "pending dropped": ("DELETE FROM audit_pending", "entry_lost"),
}


async def breaks(database: Database, folder: Path | None = None) -> set[str]:
    async with database.snapshot() as s:
        return {b.rule for b in await fsck.check(s, VKEY, folder)}


async def sound(database: Database, folder: Path) -> None:
    """Ten signed entries, one that has a number only, one that waits for it."""
    await add(database, 10)
    await sign_log(database, LogSigner(), folder)
    await add(database, 1)
    await sequence.run_all(database)
    await add(database, 1)


async def test_sound_log_has_no_breaks(database: Database, tmp_path: Path) -> None:
    await sound(database, tmp_path)
    assert await breaks(database, tmp_path) == set()


@pytest.mark.parametrize("edit", EDITS)
async def test_edit_by_hand_is_found(
    database: Database, owner_database: Database, tmp_path: Path, edit: str
) -> None:
    """Property 5."""
    await sound(database, tmp_path)
    script, rule = EDITS[edit]
    tables = ("audit_entries", "audit_sequence", "audit_checkpoints", "audit_pending")
    async with owner_database.write() as s:
        for table in tables:
            await s.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in script.split(";"):
            await s.execute(
                statement.replace("'::bytea", "'\\:\\:bytea").replace(")::b", ")\\:\\:b")
            )
    assert rule in await breaks(database)


@pytest.mark.parametrize("name", ["tile/0/000.p/10", "tile/entries/000.p/10", "checkpoint"])
async def test_changed_or_missing_file_is_found(
    database: Database, tmp_path: Path, name: str
) -> None:
    await sound(database, tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[10] ^= 1
    (tmp_path / name).write_bytes(data)
    assert await breaks(database, tmp_path) == {"tiles"}
    (tmp_path / name).unlink()
    assert await breaks(database, tmp_path) == {"tiles"}


async def test_a_running_service_may_be_ahead_or_one_note_behind(
    database: Database, tmp_path: Path
) -> None:
    """The rows are one snapshot, the published file is not: only a real step back is a break."""
    signer, published = LogSigner(), []
    for _ in range(3):
        await add(database, 3)
        await sign_log(database, signer, tmp_path)
        published.append((tmp_path / "checkpoint").read_text())
    async with database.snapshot() as s:
        assert await fsck.check(s, VKEY, tmp_path) == []
        await add(database, 2)
        await sign_log(database, signer, tmp_path)
        assert await fsck.check(s, VKEY, tmp_path) == []
    (tmp_path / "checkpoint").write_text(published[2])
    assert await breaks(database, tmp_path) == set()
    (tmp_path / "checkpoint").write_text(published[1])
    assert await breaks(database, tmp_path) == {"tiles"}

"""Checkpoints: a crash anywhere resumes to the same bytes; never two roots for one size."""

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from custody.audit import checkpoint, merkle, note, proof, tiles, verify
from custody.core.db import Database
from custody.core.errors import Broken
from tests.custody.audit.entries import AT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


async def test_log_is_signed_and_published(database: Database, tmp_path: Path) -> None:
    signer = LogSigner()
    assert await sign_log(database, signer, tmp_path) is None, "nothing to sign"
    await add(database, 300)
    done = await sign_log(database, signer, tmp_path)
    assert done is not None
    assert (done.size, done.signed_at) == (300, AT)
    assert (tmp_path / "checkpoint").read_text() == done.note
    assert note.open_checkpoint(done.note, signer.key).root == done.root
    assert set(contents(tmp_path)) == {
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    }
    entries = tiles.split_bundle((tmp_path / "tile/entries/000").read_bytes())
    assert merkle.leaf_hash(entries[255]) == (tmp_path / "tile/0/000").read_bytes()[-32:]
    assert await sign_log(database, signer, tmp_path) is None, "nothing new"
    async with database.read() as s:
        assert await checkpoint.latest_checkpoint(s) == done


async def test_foreign_proof_format_verifies_alone(database: Database, tmp_path: Path) -> None:
    signer = LogSigner()
    await add(database, 300)
    first = await sign_log(database, signer, tmp_path)
    await add(database, 77)
    second = await sign_log(database, signer, tmp_path)
    assert first is not None
    assert second is not None
    node = proof.from_tiles(tmp_path, 377)
    async with database.read() as s:
        rows = await proof.from_rows(s, 377)
    for index in (0, 256, 376):
        assert proof.inclusion(node, index, 377) == proof.inclusion(rows, index, 377)
        text = proof.tlog_proof(proof.inclusion(node, index, 377), second)
        entry = tiles.split_bundle(
            tiles.TileFolder(tmp_path).read(tiles.ENTRIES, index // 256, 377)
        )[index % 256]
        assert verify.verify_inclusion(entry, text.encode(), signer.key.vkey()).ok
        assert not verify.verify_inclusion(entry + b" ", text.encode(), signer.key.vkey()).ok
    steps = proof.consistency(node, 300, 377)
    old, new = first.note.encode(), second.note.encode()
    body = ('{"hashes":[' + ",".join(f'"{h.hex()}"' for h in steps.hashes) + "]}").encode()
    assert verify.verify_consistency(old, new, body, signer.key.vkey()).ok
    assert not verify.verify_consistency(new, old, body, signer.key.vkey()).ok
    assert not verify.verify_consistency(old, new, b'{"hashes":[]}', signer.key.vkey()).ok


async def test_a_lost_folder_is_made_again(database: Database, tmp_path: Path) -> None:
    signer = LogSigner()
    await add(database, 300)
    await sign_log(database, signer, tmp_path / "a")
    await add(database, 1)
    await sign_log(database, signer, tmp_path / "b")
    await sign_log(database, signer, tmp_path / "a")
    async with database.read() as s:
        head = await checkpoint.latest_checkpoint(s)
    assert head is not None
    assert tiles.TileFolder(tmp_path / "b").root(301) == head.root


async def test_one_size_never_has_two_roots(database: Database, tmp_path: Path) -> None:
    """Property 54: a staged root that no longer fits stops the log instead of forking it."""
    signer = LogSigner()
    await add(database, 3)
    async with database.write() as s:
        await s.execute(
            "INSERT INTO audit_roots (size, root, created_at) VALUES (3, :r, now())",
            {"r": b"\x01" * 32},
        )
    with pytest.raises(Broken, match="another root"):
        await sign_log(database, signer, tmp_path)
    assert signer.signed == {}
    with pytest.raises(IntegrityError):
        async with database.write() as s:
            await s.execute(
                "INSERT INTO audit_roots (size, root, created_at) VALUES (3, :r, now())",
                {"r": b"\x02" * 32},
            )
    with pytest.raises(IntegrityError):
        async with database.write() as s:
            await s.execute(
                "INSERT INTO audit_checkpoints VALUES (3, :r, 'note', now())", {"r": b"\x02" * 32}
            )


@pytest.mark.parametrize("name", ["tile/0/000.p/200", "tile/entries/000.p/200"])
async def test_a_changed_tile_stops_the_signing(
    database: Database, tmp_path: Path, name: str
) -> None:
    signer = LogSigner()
    await add(database, 200)
    await sign_log(database, signer, tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[40] ^= 1
    (tmp_path / name).write_bytes(data)
    await add(database, 1)
    if name.startswith("tile/0"):
        with pytest.raises(Broken):
            await sign_log(database, signer, tmp_path)
        assert set(signer.signed) == {200}
    else:  # bundles of entries are made from rows, never read back
        assert await sign_log(database, signer, tmp_path)


async def test_rewritten_rows_are_not_signed(
    database: Database, owner_database: Database, tmp_path: Path
) -> None:
    """Property 5: whoever edits below the service stops the log at the next checkpoint."""
    signer = LogSigner()
    await add(database, 5)
    await sign_log(database, signer, tmp_path)
    async with owner_database.write() as s:
        await s.execute("ALTER TABLE audit_sequence DISABLE TRIGGER USER")
        await s.execute(
            "UPDATE audit_sequence SET leaf_hash = :h WHERE seq = 2", {"h": b"\x05" * 32}
        )
    await add(database, 1)
    with pytest.raises(Broken, match="not what was numbered"):
        await sign_log(database, signer, tmp_path)


async def test_history_rewritten_with_fitting_hashes_is_not_signed(
    database: Database, owner_database: Database, tmp_path: Path
) -> None:
    """Property 54: entry, hash and tiles replaced together still miss the root that was signed."""
    signer = LogSigner()
    await add(database, 5)
    await sign_log(database, signer, tmp_path / "before")
    async with owner_database.write() as s:
        for table in ("audit_entries", "audit_sequence"):
            await s.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await s.execute(
            "UPDATE audit_entries SET body = body || '\\x20' WHERE id ="
            " (SELECT entry_id FROM audit_sequence WHERE seq = 2)"
        )
        await s.execute(
            "UPDATE audit_sequence q SET leaf_hash = sha256('\\x00' || e.body)"
            " FROM audit_entries e WHERE e.id = q.entry_id"
        )
    await add(database, 1)
    with pytest.raises(Broken, match="no longer has the root"):
        await sign_log(database, signer, tmp_path / "after")
    assert set(signer.signed) == {5}

"""Checkpoints: a crash anywhere resumes to the same bytes; never two roots for one size."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from custody.audit import checkpoint, merkle, note, proof, sequence, tiles, verify
from custody.core.db import Database, ReadSession
from custody.core.errors import Broken
from custody.core.ports import SignerUnavailable
from tests.custody.audit.entries import AT, LogSigner, add, log_writer, sign_log

pytestmark = pytest.mark.postgres


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


async def from_rows(s: ReadSession, size: int) -> merkle.Node:
    """Subtrees out of what the database numbered, which no tile had a part in."""
    rows = await s.all(
        "SELECT leaf_hash FROM audit_sequence WHERE seq < :n ORDER BY seq", {"n": size}
    )
    assert len(rows) == size
    return merkle.nodes_of([row.leaf_hash for row in rows])


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
        rows = await from_rows(s, 377)
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


class Crash(Exception):
    pass


STEPS = ["number", "write", "sign", "after_sign", "store", "publish"]


def crash_at(step: str, monkeypatch: pytest.MonkeyPatch, signer: LogSigner) -> None:
    """Die when the step has done its work, but before the next one."""

    def dying(real: Any) -> Any:
        async def after(*args: Any) -> None:
            await real(*args)
            raise Crash(step)

        return after

    async def boom(*_: Any) -> None:
        raise Crash(step)

    async def refuse(*_: Any) -> bytes:
        raise SignerUnavailable("killed")

    writer = checkpoint.LogWriter
    if step == "number":
        monkeypatch.setattr(writer, "_write", boom)
    if step == "write":
        monkeypatch.setattr(writer, "_write", dying(writer._write))
    if step == "sign":
        monkeypatch.setattr(signer, "sign_checkpoint", refuse)
    if step == "after_sign":
        monkeypatch.setattr(signer, "sign_checkpoint", dying(signer.sign_checkpoint))
    if step == "store":
        monkeypatch.setattr(writer, "_publish", boom)
    if step == "publish":
        monkeypatch.setattr(writer, "_publish", dying(writer._publish))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "new process"])
async def test_business_goes_on_between_crash_and_restart(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fresh: bool
) -> None:
    """The stored root is finished first, whatever has been committed meanwhile. How a writer ends
    that is killed is in tests/crash/test_log.py; one that failed goes on in the same process."""
    signer = LogSigner()
    writer = log_writer(database, signer, tmp_path)
    await add(database, 250)
    assert await writer.step() == 250
    await add(database, 20)
    with monkeypatch.context() as patched:
        crash_at(step, patched, signer)
        with pytest.raises((Crash, SignerUnavailable)):
            await writer.step()
    await add(database, 5)
    writer = log_writer(database, signer, tmp_path) if fresh else writer
    while await writer.step():
        pass
    async with database.read() as s:
        last = await checkpoint.latest_checkpoint(s)
        rows = await from_rows(s, 275)
    assert last is not None
    assert (last.size, last.root) == (275, merkle.subtree_root(rows, 0, 275))
    assert (tmp_path / "checkpoint").read_text() == last.note
    assert set(signer.signed) == {250, 270, 275}
    tree = tiles.TileFolder(tmp_path)
    for size, root in signer.signed.items():
        assert tree.root(size) == root == merkle.subtree_root(rows, 0, size)


async def test_numbers_go_on_while_the_signer_is_away(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who follows the log waits for no signature; what was staged is signed first afterwards."""
    signer = LogSigner()
    writer = log_writer(database, signer, tmp_path)
    await add(database, 3)
    with monkeypatch.context() as patched:
        crash_at("sign", patched, signer)
        for _ in range(3):
            with pytest.raises(SignerUnavailable):
                await writer.step()
            await add(database, 2)
    async with database.read() as s:
        assert await s.scalar("SELECT max(seq) FROM audit_sequence") == 6
    assert [await writer.step() for _ in range(4)] == [3, 4, 2, 0]
    assert set(signer.signed) == {3, 7, 9}


async def test_two_writers_at_once_make_one_log(database: Database, tmp_path: Path) -> None:
    """Without a lease, and each sure that it is alone."""
    signer = LogSigner()
    writers = [log_writer(database, signer, tmp_path) for _ in range(2)]

    async def busy(writer: checkpoint.LogWriter) -> None:
        for _ in range(15):
            with suppress(Broken, IntegrityError):  # the other one was quicker
                await writer.step()

    for _ in range(3):
        await add(database, 40)
        await asyncio.gather(*map(busy, writers))
    while await writers[0].step():
        pass
    async with database.read() as s:
        last = await checkpoint.latest_checkpoint(s)
        rows = await from_rows(s, 120)
    assert last is not None
    assert last.root == merkle.subtree_root(rows, 0, 120) == tiles.TileFolder(tmp_path).root(120)
    assert (tmp_path / "checkpoint").read_text() == last.note


async def test_the_published_checkpoint_never_goes_back(database: Database, tmp_path: Path) -> None:
    signer = LogSigner()
    await add(database, 3)
    old = log_writer(database, signer, tmp_path)
    await old.step()
    first = (tmp_path / "checkpoint").read_text()
    await add(database, 3)
    await log_writer(database, signer, tmp_path).step()
    second = (tmp_path / "checkpoint").read_text()
    await old._publish(first, 3)
    assert (tmp_path / "checkpoint").read_text() == second
    # A newer one that this database does not know of: it was restored, or the file is forged.
    head = note.TreeHead(signer.key.name, 9, b"\x09" * 32)
    signature = await LogSigner().sign_checkpoint(head.origin, head.size, head.root)
    strange = note.encode(head.text(), signer.key, signature)
    (tmp_path / "checkpoint").write_text(strange)
    with pytest.raises(Broken, match="size 9 is not in the database"):
        await log_writer(database, signer, tmp_path).step()
    assert (tmp_path / "checkpoint").read_text() == strange


async def test_a_folder_lost_while_the_writer_runs_is_made_again(
    database: Database, tmp_path: Path
) -> None:
    signer = LogSigner()
    writer = log_writer(database, signer, tmp_path / "log")
    await add(database, 300)
    await writer.step()
    shutil.rmtree(tmp_path / "log")
    assert await writer.step() == 0
    assert (tmp_path / "log" / "checkpoint").exists()
    assert tiles.TileFolder(tmp_path / "log").root(300) == signer.signed[300]


async def test_a_long_backlog_is_published_in_batches(database: Database, tmp_path: Path) -> None:
    signer = LogSigner()
    await add(database, 2_300)
    assert await log_writer(database, signer, tmp_path).run() == 2_300
    assert set(signer.signed) == {1_000, 2_000, 2_300}


async def test_a_run_ends_under_steady_load(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who triggers it looks at its lease, and whether it shall stop, in between."""
    steps = 0

    async def full(_: checkpoint.LogWriter) -> int:
        nonlocal steps
        steps += 1
        assert steps <= 100
        return sequence.BATCH

    monkeypatch.setattr(checkpoint.LogWriter, "step", full)
    assert await log_writer(database, LogSigner(), tmp_path).run() == steps * sequence.BATCH


async def test_a_backlog_of_large_entries_is_read_in_parts(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many bytes at a time, whole tiles of them; also where the folder is made again."""
    signer, read = LogSigner(), list[int]()
    await add(database, 1_000)
    await sequence.run_all(database)
    async with database.read() as s:
        one = await s.scalar("SELECT max(length(body)) FROM audit_entries")
    monkeypatch.setattr(checkpoint, "INTEGRATE_BYTES", 600 * one)
    real = checkpoint.LogWriter._rows

    async def watched(self: checkpoint.LogWriter, begin: int, end: int) -> Any:
        read.append(end - begin)
        return await real(self, begin, end)

    monkeypatch.setattr(checkpoint.LogWriter, "_rows", watched)
    writer = log_writer(database, signer, tmp_path / "a")
    assert [await writer.step() for _ in range(3)] == [512, 488, 0]
    read.clear()
    writer = log_writer(database, signer, tmp_path / "b")
    monkeypatch.setattr(checkpoint, "INTEGRATE_BYTES", 300 * one)
    await writer.step()
    assert read == [232, 256, 256, 256, 232]  # first the unfinished tile, which is not there
    assert tiles.TileFolder(tmp_path / "b").root(1_000) == signer.signed[1_000]


async def test_an_entry_larger_than_all_goes_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "INTEGRATE_BYTES", 1)
    await add(database, 2)
    await sequence.run_all(database)
    writer = log_writer(database, LogSigner(), tmp_path)
    assert [await writer.step() for _ in range(3)] == [1, 1, 0]


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

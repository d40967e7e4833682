"""A database that came back from a backup: no entry gets a number a second time, nothing forks."""

import shutil
from pathlib import Path

import pytest

from custody.audit import merkle, note, published, sequence, tiles
from custody.audit.published import Forked
from custody.core.db import Database
from custody.core.errors import Broken
from custody.core.ports import SignerRefused
from tests.custody.audit.entries import LogSigner, add, log_writer

pytestmark = pytest.mark.postgres


async def numbered(database: Database) -> int:
    async with database.read() as s:
        return int(await s.scalar("SELECT count(*) FROM audit_sequence"))


async def publish(folder: Path, signer: LogSigner, size: int, root: bytes) -> str:
    """A checkpoint of the log's key that this database never had."""
    head = note.TreeHead(signer.key.name, size, root)
    signature = await LogSigner().sign_checkpoint(head.origin, size, root)
    text = note.encode(head.text(), signer.key, signature)
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").write_text(text)
    return text


@pytest.mark.parametrize("size", [0, 3], ids=["empty", "shorter"])
@pytest.mark.parametrize("waiting", [0, 1, 4], ids=["none", "fewer", "more than lost"])
async def test_nothing_is_numbered_over_a_longer_published_log(
    database: Database, tmp_path: Path, size: int, waiting: int
) -> None:
    signer, folder = LogSigner(), tmp_path / "log"
    await add(database, size)
    await log_writer(database, signer, folder).step()
    strange = await publish(folder, signer, 5, b"\x09" * 32)
    await add(database, waiting)
    writer = log_writer(database, signer, folder)
    for stepped in (writer.step, writer.step, writer.catch_up):
        with pytest.raises(Forked, match="size 5 is not in the database"):
            await stepped()
    assert (folder / "checkpoint").read_text() == strange
    assert set(signer.signed) <= {size}
    assert await numbered(database) == size


@pytest.mark.parametrize("known", [True, False], ids=["signed", "only numbered"])
async def test_nothing_follows_another_root(
    database: Database, tmp_path: Path, known: bool
) -> None:
    """As many entries as are published, but others."""
    signer, folder = LogSigner(), tmp_path / "log"
    await add(database, 5)
    writer = log_writer(database, signer, folder)
    await (writer.step() if known else sequence.run_all(database))
    await publish(folder, signer, 5, b"\x09" * 32)
    await add(database, 1)
    with pytest.raises(Forked, match="size 5 has another root"):
        await log_writer(database, signer, folder).step()
    assert await numbered(database) == 5


async def test_a_database_that_lost_only_the_signature_goes_on(
    database: Database, tmp_path: Path
) -> None:
    """It was taken between the numbers and the note."""
    signer, folder = LogSigner(), tmp_path / "log"
    await add(database, 3)
    await log_writer(database, signer, folder).step()
    await add(database, 300)
    await sequence.run_all(database)
    async with database.read() as s:
        rows = await s.all("SELECT leaf_hash FROM audit_sequence ORDER BY seq")
    root = merkle.root([row.leaf_hash for row in rows])
    await publish(folder, signer, 303, root)
    await add(database, 2)
    writer = log_writer(database, signer, folder)
    assert [await writer.step() for _ in range(3)] == [300, 2, 0]
    assert signer.signed[303] == root


async def test_the_signer_refuses_where_the_folder_was_lost_as_well(
    database: Database, tmp_path: Path
) -> None:
    """Property 54: only the signer remembers the five."""
    signer, folder = LogSigner(), tmp_path / "log"
    await add(database, 3)
    await log_writer(database, signer, folder).step()
    signer.signed[5] = b"\x09" * 32
    await add(database, 4)
    shutil.rmtree(folder)
    with pytest.raises((SignerRefused, merkle.ProofInvalid)):
        await log_writer(database, signer, folder).step()
    assert set(signer.signed) == {3, 5}
    assert not (folder / "checkpoint").exists()


async def test_a_signer_of_an_older_backup_gets_the_proof_that_it_asks_for(
    database: Database, tmp_path: Path
) -> None:
    signer = LogSigner()
    writer = log_writer(database, signer, tmp_path)
    for count in (200, 100, 300):
        await add(database, count)
        await writer.step()
    older = LogSigner()
    older.signed = {200: signer.signed[200]}
    await add(database, 1)
    assert await log_writer(database, older, tmp_path).step() == 1
    assert older.signed[601] == tiles.TileFolder(tmp_path).root(601)


async def test_what_is_no_note_of_the_key_is_no_head(tmp_path: Path) -> None:
    key = LogSigner().key
    assert published.head(tmp_path / "none", key) is None
    for data in (b"", b"\xff", b"checkpoint\n"):
        (tmp_path / "checkpoint").write_bytes(data)
        assert published.head(tmp_path, key) is None
    assert issubclass(Forked, Broken)

"""The log's folder in a backup: the same tree again, whatever was there beside it."""

import shutil
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest

from custody.audit import behind, kept, merkle, note, published, tiles
from custody.audit.disk import alone
from custody.audit.published import Forked
from custody.core.db import Database
from tests.custody.audit.entries import LogSigner, add, sign_log

pytestmark = pytest.mark.postgres


async def test_what_was_kept_is_the_log_again(database: Database, tmp_path: Path) -> None:
    signer, folder = LogSigner(), tmp_path / "log"
    for count in (200, 400):
        await add(database, count)
        await sign_log(database, signer, folder)
    assert kept.keep(folder, signer.key, tmp_path / "log.tar") == 600
    assert (tmp_path / "log.tar").stat().st_mode & 0o777 == 0o600
    kept.unpack(tmp_path / "log.tar", tmp_path / "again")
    again = tiles.TileFolder(tmp_path / "again")
    checkpoint = (folder / tiles.CHECKPOINT).read_text()
    assert (tmp_path / "again" / tiles.CHECKPOINT).read_text() == checkpoint
    assert again.root(600) == signer.signed[600]
    every = {t.path: t.data for t in tiles.TileFolder(folder).of_tree(600)}
    assert {t.path: t.data for t in again.of_tree(600)} == every
    assert set(every) == {
        *(f"tile/{level}/{index}" for level in ("entries", 0) for index in ("000", "001")),
        *(f"tile/{level}/002.p/88" for level in ("entries", 0)),
        "tile/1/000.p/2",
    }
    bodies = tiles.split_bundle(every["tile/entries/002.p/88"])
    hashes = every["tile/0/002.p/88"]
    assert merkle.leaf_hashes(bodies) == tiles.split_tile(hashes)


async def test_what_is_published_meanwhile_is_not_half_in_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer publishes, and begins the next tiles, at the worst moment that it gets."""
    signer, folder, later = LogSigner(), tmp_path / "log", tmp_path / "later"
    await add(database, 200)
    await sign_log(database, signer, folder)
    shutil.copytree(folder, later)
    await add(database, 400)
    await sign_log(database, signer, later)
    (later / "tile" / "0" / "002").write_bytes(bytes(256 * 32))
    opened, writer = note.open_checkpoint, ThreadPool(1)

    def publish() -> None:
        with alone(folder):
            shutil.copytree(later, folder, dirs_exist_ok=True)

    def parsed(*asked: Any) -> note.TreeHead:
        """After the first reading the writer has a moment, if it is let."""
        head = opened(*asked)
        if not writing:
            writing.append(writer.apply_async(publish))
            writing[0].wait(0.5)
        return head

    writing: list[Any] = []
    monkeypatch.setattr(note, "open_checkpoint", parsed)
    size = kept.keep(folder, signer.key, tmp_path / "log.tar")
    writing[0].get(5)
    writer.terminate()
    kept.unpack(tmp_path / "log.tar", tmp_path / "again")
    head = published.head(tmp_path / "again", signer.key)
    assert head is not None
    assert head.size == size
    assert tiles.TileFolder(tmp_path / "again").root(size) == head.root


async def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    key = LogSigner().key
    assert kept.keep(tmp_path / "none", key, tmp_path / "log.tar") == 0
    kept.unpack(tmp_path / "log.tar", tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []
    with pytest.raises(FileExistsError):
        kept.unpack(tmp_path / "log.tar", tmp_path / "again")


async def test_who_is_behind_the_signer_alone_numbers_nothing(
    database: Database, tmp_path: Path
) -> None:
    """Property 54: rows and folder came back from one backup, and the signer signed more."""
    signer, folder = LogSigner(), tmp_path / "log"
    await add(database, 5)
    await sign_log(database, signer, folder)
    await behind.require_caught_up(database, folder, signer.key, 5)
    with pytest.raises(Forked, match="6 entries were published or signed, and 5 are here"):
        await behind.require_caught_up(database, folder, signer.key, 6)

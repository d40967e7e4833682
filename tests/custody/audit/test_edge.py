"""The tree's right edge: batches of any sizes make the same tiles; files are written in order."""

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.audit import edge, merkle, tiles
from custody.audit.disk import Disk, alone, write_all
from custody.audit.edge import Edge

pytestmark = pytest.mark.unit

ENTRIES = [str(k).encode() for k in range(2_100)]
LEAVES = merkle.leaf_hashes(ENTRIES)


def grown(sizes: list[int]) -> tuple[Edge, dict[str, bytes]]:
    """The edge after batches of these sizes, and every file that they made."""
    at, files = Edge(), dict[str, bytes]()
    for size in sizes:
        part = slice(at.size, at.size + size)
        at, made = at.grow(ENTRIES[part], LEAVES[part])
        new = {tile.path: tile.data for tile in made}
        assert all(files.get(path, data) == data for path, data in new.items()), "a tile changed"
        files |= new
    return at, files


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=3))
def test_batches_do_not_matter(sizes: list[int]) -> None:
    at, files = grown(sizes)
    whole, wanted = grown([sum(sizes)])
    assert at == whole
    assert wanted.items() <= files.items()
    assert at.root() == merkle.root(LEAVES[: at.size])


def test_an_empty_batch_makes_nothing() -> None:
    at, _ = grown([300])
    assert at.grow([], []) == (at, [])


def test_full_levels_have_no_tail() -> None:
    at, files = grown([256])
    assert at.tails[0] == ()
    assert at.entries == ()
    assert set(files) == {"tile/entries/000", "tile/0/000", "tile/1/000.p/1"}


@pytest.mark.parametrize("size", [1, 255, 256, 257, 2_048, 2_100])
def test_the_edge_comes_back_from_its_files(tmp_path: Path, size: int) -> None:
    at, files = grown([size])
    write_all(Disk(), tmp_path, files)
    assert edge.load(tiles.TileFolder(tmp_path), size, at.entries) == at


def test_a_missing_tile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        edge.load(tiles.TileFolder(tmp_path), 5, ENTRIES[:5])


class Watched(Disk):
    """What was called, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def write(self, path: str, data: bytes) -> int:
        self.calls.append(("write", Path(path).name))
        return super().write(path, data)

    def sync(self, fd: int, path: str) -> None:
        self.calls.append(("sync", Path(path).name))

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.calls.append(("rename", Path(new).name))

    def sync_folder(self, path: Path) -> None:
        self.calls.append(("sync_folder", path.name))


def test_bytes_are_synced_before_the_name_and_folders_after_it(tmp_path: Path) -> None:
    disk = Watched()
    write_all(disk, tmp_path, {"a/b/one": b"1", "a/two": b"2"})
    kinds = [kind for kind, _ in disk.calls]
    assert kinds == ["write"] * 2 + ["sync"] * 2 + ["rename"] * 2 + ["sync_folder"] * 3
    assert {name for kind, name in disk.calls if kind == "sync_folder"} == {
        "a",
        "b",
        tmp_path.name,
    }
    assert (tmp_path / "a/b/one").read_bytes() == b"1"
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_failed_sync_is_not_passed_over(tmp_path: Path) -> None:
    class Failing(Disk):
        def sync(self, fd: int, path: str) -> None:
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_all(Failing(), tmp_path, {"one": b"1"})
    assert not (tmp_path / "one").exists()


def test_the_folder_has_one_writer(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with alone(tmp_path), pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)

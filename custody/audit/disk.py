"""What the log does to its folder, in the order that survives a power cut.

Only what was synced is there afterwards: a file's bytes by a sync of the file, its name by a sync
of its folder, a new folder by a sync of the one above. So a batch of files is written under other
names and synced, then renamed, then the folders are synced; whoever sees a name sees whole bytes.
Every step may be taken again after a crash and ends in the same files.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath

TEMPORARY = ".tmp"
SYNCS = 16
"""At the same time."""


class Disk:
    """The calls by themselves. Tests put one in its place that forgets what was not synced."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def together(self, work: Iterable[Callable[[], None]]) -> None:
        """Syncs at the same time: a file system answers many of them with one write of its own."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(SYNCS, thread_name_prefix="log-sync")
        for done in [self._threads.submit(each) for each in work]:
            done.result()

    def make_folder(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def write(self, path: str, data: bytes) -> int:
        """Create or replace; the descriptor, which wants a sync and then a close."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        return fd

    def sync(self, fd: int, path: str) -> None:
        """The bytes of `path`, which `fd` has open; its name is not safe by it."""
        os.fsync(fd)

    def sync_folder(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.replace(old, new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        path.rmdir()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else writes below `folder` meanwhile, not even a writer that has lost its lease and
    does not know it yet. The lock ends with the process. Requires that the folder is there."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_all(
    disk: Disk, folder: Path, files: Mapping[str, bytes], present: Iterable[str] = ()
) -> None:
    """All `files` (path below `folder` -> bytes) durably, each whole or not there at all.

    `present` are files that somebody wrote whole before, and perhaps died before their folders
    were synced. Requires that nobody else writes below `folder` meanwhile.
    """
    for inside in sorted({PurePath(name).parent for name in files}):
        make_folders(disk, folder / inside)
    # The same other name each time: what a killed writer left is written over, not added to.
    places = [(f"{folder}/{name}{TEMPORARY}", f"{folder}/{name}") for name in files]
    _write_synced(disk, [temporary for temporary, _ in places], list(files.values()))
    for temporary, path in places:
        disk.rename(temporary, path)
    # One of the folders above may be new, or left unsynced by whoever made it.
    above = {inside for name in (*files, *present) for inside in PurePath(name).parents}
    sync_folders(disk, {folder / inside for inside in above})


def _write_synced(disk: Disk, paths: Sequence[str], contents: Sequence[bytes]) -> None:
    opened: list[int] = []
    try:
        for path, data in zip(paths, contents, strict=True):
            opened.append(disk.write(path, data))
        disk.together(partial(disk.sync, fd, path) for fd, path in zip(opened, paths, strict=True))
    finally:
        for fd in opened:
            os.close(fd)


def make_folders(disk: Disk, path: Path) -> None:
    """Make `path` and all above it. Their names want a sync of the folders above."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        disk.make_folder(each)


def make_durable(disk: Disk, path: Path) -> None:
    """Make `path`, safe in the folder above; also where somebody made it and died before that."""
    make_folders(disk, path)
    sync_folders(disk, {path.parent})


def sync_folders(disk: Disk, folders: Iterable[Path]) -> None:
    disk.together(partial(disk.sync_folder, folder) for folder in sorted(folders))

"""A disk that notes what a power cut would take, and the cut itself.

POSIX promises little: bytes are safe once their file was synced, a name once its folder was. What
was not may be there or not, each for itself, and a file's bytes may be old, short or garbage. The
notes are in a file of their own, so that they outlive the process that was killed.
"""

import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from custody.audit.disk import Disk

Step = tuple[Any, ...]


class NotedDisk(Disk):
    """Does each call, then notes it. `point` is called where a process may die."""

    def __init__(self, notes: Path, point: Callable[[], None]) -> None:
        super().__init__()
        self._fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._point = point

    def _note(self, *step: Any) -> None:
        data = pickle.dumps(step)
        os.write(self._fd, len(data).to_bytes(4, "big") + data)
        self._point()

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._note("make_folder", path)

    def together(self, work: Iterable[Callable[[], None]]) -> None:
        """One after the other, so that a point is a point."""
        for each in work:
            each()

    def write(self, path: str, data: bytes) -> int:
        if not os.path.exists(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
            self._note("create", Path(path))
        self._note("dirty", Path(path))
        fd = super().write(path, data)
        self._point()
        return fd

    def sync(self, fd: int, path: str) -> None:
        """No real sync, which would only cost time."""
        self._note("clean", Path(path))

    def sync_folder(self, path: Path) -> None:
        self._note("sync_folder", path)

    def rename(self, old: str, new: str) -> None:
        before = Path(new).read_bytes() if os.path.exists(new) else None
        super().rename(old, new)
        self._note("rename", Path(old), Path(new), before)

    def remove(self, path: Path) -> None:
        before = path.read_bytes()
        super().remove(path)
        self._note("remove", path, before)

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self._note("remove_folder", path)


def cut(notes: Path, chance: random.Random) -> int:
    """Take what was not synced, by `chance`, and begin new notes; how many things that could be."""
    dirty: set[Path] = set()
    names: list[Step] = []
    for step in _read(notes):
        names = _follow(step, dirty, names)
    for path in sorted(dirty):
        if path.exists():
            path.write_bytes(_damaged(path.read_bytes(), chance))
    for step in reversed(names):
        if chance.random() < 0.5:
            _undo(step, chance)
    notes.unlink(missing_ok=True)
    return len(dirty) + len(names)


def _read(notes: Path) -> list[Step]:
    data, found = notes.read_bytes() if notes.exists() else b"", []
    while len(data) >= 4:
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            break  # killed while it took the note
        found.append(pickle.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    return found


def _follow(step: Step, dirty: set[Path], names: list[Step]) -> list[Step]:
    """The names that are not safe after `step`; `dirty` has the files whose bytes are not."""
    what, path = step[0], step[1]
    if what == "sync_folder":
        return [s for s in names if _named_in(s) != path]
    if what == "dirty":
        dirty.add(path)
    elif what == "clean":
        dirty.discard(path)
    else:
        if what == "rename" and path in dirty:
            dirty.remove(path)
            dirty.add(step[2])
        return [*names, step]
    return names


def _named_in(step: Step) -> Path:
    path: Path = step[1]
    return path.parent


def _damaged(data: bytes, chance: random.Random) -> bytes:
    cut_at = chance.randrange(len(data) + 1)
    return chance.choice([data, b"", data[:cut_at], chance.randbytes(len(data))])


def _undo(step: Step, chance: random.Random) -> None:
    what, path = step[0], step[1]
    if what == "create":
        path.unlink(missing_ok=True)
    elif what == "make_folder":
        shutil.rmtree(path, ignore_errors=True)
    elif what == "remove_folder" and path.parent.is_dir():
        path.mkdir(exist_ok=True)
    elif what == "remove" and path.parent.is_dir():
        path.write_bytes(step[2])
    elif what == "rename" and step[2].exists():
        _undo_rename(path, step[2], step[3], chance)


def _undo_rename(old: Path, new: Path, before: bytes | None, chance: random.Random) -> None:
    data = new.read_bytes()
    if before is None:
        new.unlink()
    else:
        new.write_bytes(before)
    if chance.random() < 0.5:
        old.write_bytes(data)

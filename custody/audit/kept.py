"""The log's folder as one file of a backup: the published checkpoint and every tile of its tree.

Taken last of a backup, so it has what the database's copy lacks. Tiles beyond the checkpoint whose
tree is whole are in it: they may be signed.
"""

import io
import os
import tarfile
from pathlib import Path

from custody.audit import note, published, tiles, unpublished
from custody.audit.disk import alone


def keep(folder: Path, key: note.LogKey, file: Path) -> int:
    """A new file, readable by its owner alone; empty of entries where nothing is published. The
    size of the tree that is in it."""
    checkpoint, size = _last(folder, key)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        with tarfile.open(fileobj=out, mode="w") as tar:
            if checkpoint:
                _add(tar, tiles.CHECKPOINT, checkpoint)
                for tile in tiles.TileFolder(folder).of_tree(size):
                    _add(tar, tile.path, tile.data)
        out.flush()
        os.fsync(out.fileno())
    return size


def _last(folder: Path, key: note.LogKey) -> tuple[bytes, int]:
    """What is published, and the size of the largest whole tree; nothing where there is none.

    Nobody writes meanwhile. The log may grow afterwards: a tree that was whole stays readable.
    """
    if not folder.is_dir():
        return b"", 0
    with alone(folder):
        head = published.head(folder, key)
        if head is None:
            return b"", 0
        last = unpublished.head(folder, head) or head
        return (folder / tiles.CHECKPOINT).read_bytes(), last.size


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def unpack(file: Path, folder: Path) -> None:
    """Into `folder`, which must be new. Raises FileExistsError, tarfile.TarError."""
    folder.mkdir(parents=True)
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")

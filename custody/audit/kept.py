"""The log's folder as one file of a backup: the published checkpoint and every tile of its tree.

Taken last of a backup, so it has what the database's copy lacks. Tiles beyond the checkpoint whose
tree is whole are in it: they may be signed.
"""

import io
import os
import tarfile
from pathlib import Path

from custody.audit import note, published, tiles, unpublished


def keep(folder: Path, key: note.LogKey, file: Path) -> None:
    """A new file, readable by its owner alone; empty of entries where nothing is published."""
    head = published.head(folder, key)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        with tarfile.open(fileobj=out, mode="w") as tar:
            if head is not None:
                _add(tar, tiles.CHECKPOINT, (folder / tiles.CHECKPOINT).read_bytes())
                last = unpublished.head(folder, head) or head
                for tile in tiles.TileFolder(folder).of_tree(last.size):
                    _add(tar, tile.path, tile.data)
        out.flush()
        os.fsync(out.fileno())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def unpack(file: Path, folder: Path) -> None:
    """Into `folder`, which must be new. Raises FileExistsError, tarfile.TarError."""
    folder.mkdir(parents=True)
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")

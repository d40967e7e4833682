"""What is published against the rows of the database.

A database that came back from a backup knows less than the folder of the log says, and would number
other entries after its last one. So before anything is numbered or signed, the head that is
published has to be of its rows.
"""

from pathlib import Path

from custody.audit import merkle, note, tiles, unpublished
from custody.core.db import ReadSession
from custody.core.errors import Broken

_PAGE = 64 * tiles.WIDTH
_HASHES = "SELECT leaf_hash FROM audit_sequence WHERE seq >= :begin AND seq < :end ORDER BY seq"


class Forked(Broken):
    """The published log is not a prefix of what the database has: nothing may follow it."""


def head(folder: Path, key: note.LogKey) -> note.TreeHead | None:
    """What `checkpoint` in the folder says; None where it is not there or is no note of the key."""
    try:
        return note.open_checkpoint((folder / tiles.CHECKPOINT).read_text("utf-8"), key)
    except (FileNotFoundError, NotADirectoryError, note.NoteInvalid, UnicodeDecodeError):
        return None


async def require_known(s: ReadSession, there: note.TreeHead) -> None:
    """Raises Forked unless the rows have this root at this size: as one that was signed, or, where
    the database lost only that, as their own."""
    params = {"size": there.size}
    root = await s.scalar("SELECT root FROM audit_checkpoints WHERE size = :size", params)
    if root is None:
        root = await root_of_rows(s, there.size)
    if root is None:
        raise Forked(
            f"the published checkpoint of size {there.size} is not in the database, which has "
            "fewer entries: it came back from a backup, or the file is forged (`moorage "
            "log-restore`)"
        )
    if root != there.root:
        raise Forked(f"the published checkpoint of size {there.size} has another root here")


async def require_nothing_beyond(s: ReadSession, folder: Path, there: note.TreeHead) -> None:
    """Raises Forked where tiles beyond the published head have entries that are not numbered here:
    numbers come first, so the rows were lost, and the signer may have signed their tree."""
    more = unpublished.head(folder, there)
    if more is None:
        return
    numbered = int(await s.scalar("SELECT coalesce(max(seq) + 1, 0) FROM audit_sequence"))
    if more.size > numbered:
        raise Forked(
            f"{more.size} entries have tiles, and {numbered} have numbers here: the database came "
            "back from a backup (`moorage log-restore`)"
        )


async def root_of_rows(s: ReadSession, size: int) -> bytes | None:
    """Of the first `size` rows; None where there are not so many."""
    last = await s.scalar("SELECT max(seq) FROM audit_sequence")
    if last is None or last + 1 < size:
        return None if size else merkle.EMPTY_ROOT
    tree = merkle.Frontier()
    while tree.size < size:
        page = {"begin": tree.size, "end": min(size, tree.size + _PAGE)}
        rows = await s.all(_HASHES, page)
        if len(rows) < page["end"] - page["begin"]:
            return None
        tree.extend([row.leaf_hash for row in rows])
    return tree.root()

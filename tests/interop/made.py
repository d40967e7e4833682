"""A log made by our code, as foreign programs get it: a folder of files, a key, and old notes."""

import base64
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from custody.audit import merkle, note, proof, sequence, tiles
from custody.audit.checkpoint import Checkpoint
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ids import TenantId
from custody.ledger import postings, seal, sealed
from tests.custody.audit.entries import AT, TENANT, LogSigner, add, sign_log
from tests.fixtures.ledger import Books

OTHER = UUID("01900000-0000-7000-8000-000000000002")
REQUIRED = "MOORAGE_REQUIRED"
"""Names of foreign programs that must be there, so that CI cannot skip them."""


@dataclass(frozen=True)
class Made:
    """`old` and `new` are checkpoints of one log; `entries` are those of `new`, in order, as they
    are in the folder before anybody changes it.

    `journals` are proofs of two levels (custody/ledger/SEALS.md), all of one seal.
    """

    folder: Path
    vkey: str
    old: Checkpoint
    new: Checkpoint
    entries: list[bytes]
    journals: list[dict[str, Any]]

    def copy(self, to: Path) -> "Made":
        folder = to / "log"
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def published(self) -> str:
        return (self.folder / tiles.CHECKPOINT).read_text()

    def bundles(self) -> list[bytes]:
        """The entries as they lie in the folder's bundles now."""
        return entries_in(self.folder, self.new.size)

    def samples(self) -> list[int]:
        """Entries at the edges of tiles, and some in between."""
        size = self.new.size
        begins = set(range(0, size, tiles.WIDTH))
        wanted = {1, 77, 300, size - 2, size - 1} | begins | {i - 1 for i in begins}
        return sorted(i for i in wanted if 0 <= i < size)

    def last(self, level: int | str) -> str:
        """The path of a level's last tile."""
        count = self.new.size if level == tiles.ENTRIES else self.new.size >> 8 * int(level)
        index = (count - 1) // tiles.WIDTH
        return tiles.tile_path(level, index, count - index * tiles.WIDTH)

    def inclusion(self, index: int) -> proof.InclusionProof:
        return proof.inclusion(proof.from_tiles(self.folder, self.new.size), index, self.new.size)

    def consistency(self) -> proof.ConsistencyProof:
        node = proof.from_tiles(self.folder, self.new.size)
        return proof.consistency(node, self.old.size, self.new.size)


async def make(database: Database, folder: Path) -> Made:
    """More than two tiles of two tenants, with sealed journals; a checkpoint in between."""
    signer, clock = LogSigner(), FixedClock(AT)
    books = Books(database, TenantId(TENANT))
    await books.open("cash", "asset")
    await books.open("ann", "liability")
    await books.post(*(books.transfer("cash", "ann", n + 1) for n in range(20)))
    await postings.follow_all(database)
    await add(database, 299)
    await seal.run_all(database, clock)
    old = await sign_log(database, signer, folder)
    for _ in range(4):
        await add(database, 50)
        await add(database, 51, OTHER)
    await sequence.run_all(database)
    new = await sign_log(database, signer, folder)
    assert old is not None
    assert new is not None
    entries = entries_in(folder, new.size)
    assert (old.size, len(entries)) == (300, 704)
    assert merkle.root([merkle.leaf_hash(e) for e in entries]) == new.root
    made = Made(folder, signer.key.vkey(), old, new, entries, [])
    async with database.snapshot() as s:
        for row in await s.all("SELECT id FROM transfers ORDER BY seq"):
            found = await sealed.find(s, books.tenant, row.id)
            in_log = made.inclusion(found.seq)
            made.journals.append(sealed.proof_json(found, in_log, new.note))
    return made


def of_demo(left: Path) -> Made:
    """What `scripts/demo --leave` left: the log's folder, its key, the auditor's bundle."""
    vkey = (left / "log.vkey").read_text().strip()
    folder = left / "log"
    with zipfile.ZipFile(left / "bundle.zip") as bundle:
        older = min(n for n in bundle.namelist() if n.startswith("checkpoints/"))
        old = _opened(bundle.read(older).decode(), vkey)
    new = _opened((folder / tiles.CHECKPOINT).read_text(), vkey)
    assert new.size > max(old.size, tiles.WIDTH), "one tile shows too little"
    return Made(folder, vkey, old, new, entries_in(folder, new.size), [])


def _opened(text: str, vkey: str) -> Checkpoint:
    head = note.open_checkpoint(text, note.LogKey.parse(vkey))
    return Checkpoint(head.size, head.root, text, AT)


def entries_in(folder: Path, size: int) -> list[bytes]:
    tree, count = tiles.TileFolder(folder), -(-size // tiles.WIDTH)
    parts = [tree.read(tiles.ENTRIES, index, size) for index in range(count)]
    return [entry for part in parts for entry in tiles.split_bundle(part)]


def missing(name: str, why: str) -> None:
    """Skip visibly; where the program is required, fail."""
    if name in os.environ.get(REQUIRED, "").split():
        pytest.fail(f"{name}: {why}", pytrace=False)
    pytest.skip(f"{name}: {why}")


def _flip(made: Made, path: str, at: int) -> None:
    file = made.folder / path
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def _rewrite(made: Made, change: Callable[[Made, str], str]) -> None:
    file = made.folder / tiles.CHECKPOINT
    text = file.read_text()
    assert change(made, text) != text
    file.write_text(change(made, text))


def _other_size(made: Made, text: str) -> str:
    return text.replace(f"\n{made.new.size}\n", f"\n{made.new.size - 1}\n")


def _other_root(_: Made, text: str) -> str:
    root = text.split("\n")[2]
    raw = bytearray(base64.b64decode(root))
    raw[0] ^= 1
    return text.replace(root, base64.b64encode(raw).decode())


def _other_origin(made: Made, text: str) -> str:
    name = note.LogKey.parse(made.vkey).name
    return text.replace(name, f"fork.{name}", 1)


def _other_signature(_: Made, text: str) -> str:
    head, blob = text.rstrip("\n").rsplit(" ", 1)
    raw = bytearray(base64.b64decode(blob))
    raw[20] ^= 1
    return f"{head} {base64.b64encode(raw).decode()}\n"


def _other_key(made: Made, text: str) -> str:
    """The right text, signed by somebody who took the log's name and the id of its key."""
    ours = note.LogKey.parse(made.vkey)
    body = text.partition("\n\n")[0] + "\n"
    stolen = LogSigner(b"\x08" * 32)
    signed = stolen._key.sign(body.encode())
    return note.Note(body, (note.Signature(ours.name, ours.id, signed),)).encode()


Changes = dict[str, Callable[[Made], None]]
"""What is changed -> the change, on a copy of one's own."""

CHANGED_TILES: Changes = {
    "a full tile": lambda m: _flip(m, "tile/0/000", 300),
    "the last tile": lambda m: _flip(m, m.last(0), -1),
    "the tile above": lambda m: _flip(m, m.last(1), -1),
}
CHANGED_ENTRIES: Changes = {
    "an entry": lambda m: _flip(m, "tile/entries/000", 100),
    "the last entry": lambda m: _flip(m, m.last(tiles.ENTRIES), -1),
}
CHANGED_CHECKPOINTS: Changes = {
    "the size": lambda m: _rewrite(m, _other_size),
    "the root": lambda m: _rewrite(m, _other_root),
    "the origin": lambda m: _rewrite(m, _other_origin),
    "the signature": lambda m: _rewrite(m, _other_signature),
    "the signer": lambda m: _rewrite(m, _other_key),
}
CHANGED = {**CHANGED_TILES, **CHANGED_ENTRIES, **CHANGED_CHECKPOINTS}


def wrong_proofs(hashes: list[bytes]) -> dict[str, list[bytes]]:
    """Proofs that look like one and are none."""
    flipped = bytes([hashes[0][0] ^ 1]) + hashes[0][1:]
    return {
        "a changed hash": [flipped, *hashes[1:]],
        "one hash less": hashes[:-1],
        "one hash more": [*hashes, hashes[0]],
        "another order": [*hashes[1:], hashes[0]],
        "nothing": [],
    }

"""A log made by our code, as foreign programs get it: a folder of files, a key, and old notes."""

import base64
import os
import shutil
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
    """`old` and `new` are checkpoints of one log; `entries` are those of `new`, in order.

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

    def samples(self) -> list[int]:
        """Entries at the edges of tiles, and some in between."""
        last = self.new.size - 1
        return sorted({0, 1, 77, 255, 256, 300, 511, 512, last - 1, last})

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
    tree = tiles.TileFolder(folder)
    entries = []
    for index in range(-(-new.size // tiles.WIDTH)):
        entries += tiles.split_bundle(tree.read(tiles.ENTRIES, index, new.size))
    assert (old.size, len(entries)) == (300, 704)
    assert merkle.root([merkle.leaf_hash(e) for e in entries]) == new.root
    made = Made(folder, signer.key.vkey(), old, new, entries, [])
    async with database.snapshot() as s:
        for row in await s.all("SELECT id FROM transfers ORDER BY seq"):
            found = await sealed.find(s, books.tenant, row.id)
            in_log = made.inclusion(found.seq)
            made.journals.append(sealed.proof_json(found, in_log, new.note))
    return made


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


def _rewrite(made: Made, change: Callable[[str], str]) -> None:
    file = made.folder / tiles.CHECKPOINT
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))


def _other_root(text: str) -> str:
    root = text.split("\n")[2]
    raw = bytearray(base64.b64decode(root))
    raw[0] ^= 1
    return text.replace(root, base64.b64encode(raw).decode())


def _other_signature(text: str) -> str:
    head, _, blob = text.rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(blob))
    raw[20] ^= 1
    return f"{head} {base64.b64encode(raw).decode()}\n"


def _other_key(text: str) -> str:
    """The right text, signed by somebody who took the log's name and the id of its key."""
    ours = note.LogKey.parse(LogSigner().key.vkey())
    body = text.partition("\n\n")[0] + "\n"
    stolen = LogSigner(b"\x08" * 32)
    signed = stolen._key.sign(body.encode())
    return note.Note(body, (note.Signature(ours.name, ours.id, signed),)).encode()


LAST_TILE = "002.p/192"
CHANGED_TILES: dict[str, Callable[[Made], None]] = {
    "a full tile": lambda m: _flip(m, "tile/0/001", 300),
    "the partial tile": lambda m: _flip(m, f"tile/0/{LAST_TILE}", 40),
    "the tile above": lambda m: _flip(m, "tile/1/000.p/2", 33),
}
CHANGED_ENTRIES: dict[str, Callable[[Made], None]] = {
    "an entry": lambda m: _flip(m, "tile/entries/000", 100),
    "the last entry": lambda m: _flip(m, f"tile/entries/{LAST_TILE}", -1),
}
CHANGED_CHECKPOINTS: dict[str, Callable[[Made], None]] = {
    "the size": lambda m: _rewrite(m, lambda t: t.replace("\n704\n", "\n703\n")),
    "the root": lambda m: _rewrite(m, _other_root),
    "the origin": lambda m: _rewrite(m, lambda t: t.replace("moorage.test", "moorage.fork", 1)),
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

"""The log without a database: the tree in memory, on disk, in proofs, and at its restart."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import edge, merkle, note, proof, tiles
from custody.audit.disk import Disk, write_all
from custody.audit.edge import Edge

BATCH = 1_000
ORIGIN = "bench.example/log"


class FastDisk(Disk):
    """Syncs nothing: what the machine can do without a promise."""

    def together(self, work: Iterable[Callable[[], None]]) -> None:
        pass

    def sync(self, fd: int, path: str) -> None:
        pass


def batches(entries: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [entries[k : k + BATCH] for k in range(0, len(entries), BATCH)]


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


@dataclass
class Hashes:
    """The inputs of all the hashes of a tree over `entries`, ready for hashlib."""

    entries: Sequence[bytes]

    def __post_init__(self) -> None:
        self.inputs = [b"\x00" + entry for entry in self.entries]
        row = [hashlib.sha256(x).digest() for x in self.inputs]
        while len(row) > 1:
            pairs = [b"\x01" + row[i] + row[i + 1] for i in range(0, len(row) - 1, 2)]
            odd = row[2 * len(pairs) :]
            row = [hashlib.sha256(x).digest() for x in pairs] + odd
            self.inputs += pairs
        self.root = row[0]

    def raw(self) -> float:
        """Leaves a second of CPU, if there were nothing to do but to hash."""
        sha256, inputs = hashlib.sha256, self.inputs
        took = timed(lambda: [sha256(x).digest() for x in inputs], time.process_time)
        return len(self.entries) / took

    def ours(self) -> float:
        """Leaves a second of CPU: a growing tree in memory, its root after each batch."""
        frontier, parts = merkle.Frontier(), batches(self.entries)

        def grow() -> None:
            for part in parts:
                frontier.extend(merkle.leaf_hashes(part))
                frontier.root()

        took = timed(grow, time.process_time)
        if frontier.root() != self.root:
            raise RuntimeError("the tree in memory has another root")
        return len(self.entries) / took


class TileLog:
    """A log of one process: what the service does but for its database and its signer's process.

    (size, root) is stored before it is signed, here as a line of a file.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        folder.mkdir()
        self._staged = (folder / "staged").open("ab", buffering=0)
        self._tree, self._disk, self.edge = tiles.TileFolder(folder), disk, Edge()
        self._key = Ed25519PrivateKey.generate()
        self._public = note.LogKey(ORIGIN, self._key.public_key().public_bytes_raw())

    def append(self, entries: Sequence[bytes]) -> str:
        """One batch, from entries to the published checkpoint."""
        self.edge, made = self.edge.grow(entries, merkle.leaf_hashes(entries))
        head = note.TreeHead(ORIGIN, self.edge.size, self.edge.root())
        text = head.text()
        self._staged.write(text.encode())
        self._disk.sync(self._staged.fileno(), "staged")
        self._tree.write(made, self._disk)
        signed = note.encode(text, self._public, self._key.sign(text.encode()))
        write_all(self._disk, self._tree.folder, {tiles.CHECKPOINT: signed.encode()})
        return signed

    def per_s(self, parts: Sequence[Sequence[bytes]]) -> tuple[float, float]:
        """Leaves a second by the clock, and by the CPU that it took."""
        cpu = time.process_time()
        took = timed(lambda: [self.append(part) for part in parts])
        cpu = time.process_time() - cpu
        if self._tree.root(self.edge.size) != self.edge.root():
            raise RuntimeError("the tiles on disk have another root")
        count = sum(map(len, parts))
        return count / took, count / cpu


async def in_flight(log: TileLog, entries: Sequence[bytes], callers: int) -> list[float]:
    """Seconds from append to published checkpoint; each caller asks again once it has its own."""
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []
    taken: list[float] = []

    async def caller(mine: Sequence[bytes]) -> None:
        for entry in mine:
            done = asyncio.get_running_loop().create_future()
            started = time.perf_counter()
            waiting.append((entry, done))
            await done
            taken.append(time.perf_counter() - started)

    async def writer() -> None:
        end = 0.0
        while True:
            await asyncio.sleep(0.001)
            if len(waiting) < BATCH and time.perf_counter() < end:
                continue
            batch = waiting[:BATCH]
            del waiting[:BATCH]
            if batch:
                await asyncio.to_thread(log.append, [entry for entry, _ in batch])
            for _, done in batch:
                done.set_result(None)
            end = time.perf_counter() + 0.05

    writing = asyncio.create_task(writer())
    await asyncio.gather(*(caller(entries[k::callers]) for k in range(callers)))
    writing.cancel()
    return taken


class LargeTree:
    """The tiles of a tree of `size`, of which only some leaves are known.

    Roots of level-0 tiles that no proof reads are random: what is read and hashed for a proof is
    the same as if they were made, and the tree is not hours in the making.
    """

    def __init__(self, folder: Path, size: int, known: int) -> None:
        chance = random.Random(size)
        self.tree, self.size = tiles.TileFolder(folder), size
        self.known = sorted(chance.sample(range(size), known))
        wanted = {index // tiles.WIDTH for index in self.known}
        row, made = self._bottom(wanted)
        level = 1
        while row:
            above = []
            for start in range(0, len(row), tiles.WIDTH):
                part = row[start : start + tiles.WIDTH]
                made.append(tiles.Tile(level, start // tiles.WIDTH, len(part), b"".join(part)))
                if len(part) == tiles.WIDTH:
                    above.append(merkle.root(part))
            row, level = above, level + 1
        self.tree.write(made, FastDisk())
        self.root = self.tree.root(size)

    def _bottom(self, wanted: set[int]) -> tuple[list[bytes], list[tiles.Tile]]:
        """The roots of all full level-0 tiles, and the tiles that are wanted."""
        made, full = [], self.size // tiles.WIDTH
        row = [os.urandom(32) for _ in range(full)]
        for index in wanted | {full}:
            width = tiles.width_at(self.size, 0, index)
            hashes = [os.urandom(32) for _ in range(width)]
            if width:
                made.append(tiles.Tile(0, index, width, b"".join(hashes)))
            if width == tiles.WIDTH:
                row[index] = merkle.root(hashes)
        return row, made

    def times(self) -> dict[str, list[float]]:
        """Seconds of each proof and each verification, tiles read anew for each."""
        taken: dict[str, list[float]] = {n: [] for n in ("prove", "verify", "grew", "checked")}
        for index in self.known:
            started = time.perf_counter()
            found = proof.inclusion(self.tree.node(self.size), index, self.size)
            proved = time.perf_counter()
            merkle.verify_inclusion(found.leaf_hash, index, self.size, found.hashes, self.root)
            taken["verify"].append(time.perf_counter() - proved)
            taken["prove"].append(proved - started)
            self._consistency(index + 1, taken)
        return taken

    def _consistency(self, old: int, taken: dict[str, list[float]]) -> None:
        before = merkle.subtree_root(self.tree.node(self.size), 0, old)
        started = time.perf_counter()
        found = proof.consistency(self.tree.node(self.size), old, self.size)
        proved = time.perf_counter()
        merkle.verify_consistency(old, self.size, before, self.root, found.hashes)
        taken["checked"].append(time.perf_counter() - proved)
        taken["grew"].append(proved - started)

    def restart(self) -> float:
        """Seconds until the next batch could be appended."""
        entries = [b"entry"] * (self.size % tiles.WIDTH)
        started = time.perf_counter()
        if edge.load(self.tree, self.size, entries).root() != self.root:
            raise RuntimeError("the edge has another root")
        return time.perf_counter() - started

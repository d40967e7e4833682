"""Lives of the log's writer, each ended by SIGKILL at a random point, on a real database.

`python -m tests.crash.log_lives` forks every life from one warm process. A point is a step on the
disk, a commit and the moment before it, or a call of the signer. Every other end is a power cut:
what was not synced is then gone, short or garbage (`tests/crash/power.py`). Entries, batches and
keys follow from numbers, so that a run without a crash makes the same bytes.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from custody.audit import disk, log, note, tiles
from custody.audit.checkpoint import LogWriter
from custody.core.clock import FixedClock
from custody.core.db import Database, WriteSession
from custody.core.ids import format_id
from tests.crash.power import NotedDisk, cut
from tests.custody.audit.entries import AT, TENANT, LogSigner

POINTS_MAX = 90
"""About three batches' worth."""
LATE_MAX_S = 0.06
TIMED, CUT = 0.2, 0.5
"""Shares: of the lives that are killed by the clock, and of power cuts among the others."""


@dataclass(frozen=True)
class Site:
    """One log: its database, and a folder for everything else."""

    url: str
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    @property
    def signed(self) -> Path:
        """Every (size, root) that the signer was asked for, one a line."""
        return self.folder / "signed"


@dataclass
class Report:
    crashes: int = 0
    cuts: int = 0
    at_risk: int = 0
    batches: int = 0
    entries: int = 0
    findings: list[str] = field(default_factory=list)


def batch_size(k: int) -> int:
    """Of the k-th commit of business: mostly small, at times more than one batch of the log."""
    chance = random.Random(k)
    return chance.choice([1, 2, 3, 7, 40, 150, 256, 400, 1_100 if k % 7 == 0 else 5])


def commits_of(entries: int) -> int:
    """How many commits have made so many entries."""
    k = total = 0
    while total < entries:
        total, k = total + batch_size(k), k + 1
    return k


class PointedDatabase(Database):
    """One may die before each commit and after it."""

    def __init__(self, url: str, point: Callable[[], None]) -> None:
        super().__init__(url, 2)
        self._point = point

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        async with super().write() as s:
            yield s
            self._point()
        self._point()


class NotedSigner(LogSigner):
    def __init__(self, site: Site, point: Callable[[], None]) -> None:
        super().__init__()
        self._fd = os.open(site.signed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._point = point

    async def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        self._point()
        os.write(self._fd, f"{size} {root.hex()}\n".encode())
        signature = await super().sign_checkpoint(origin, size, root, old, proof)
        self._point()
        return signature


async def live(site: Site, point: Callable[[], None], until: int | None) -> int:
    """Commit and publish batch after batch: all that was committed is published before the next.

    Ends when `until` batches are, or when it is killed; how many batches there are.
    """
    db = PointedDatabase(site.url, point)
    signer = NotedSigner(site, point)
    disk_ = NotedDisk(site.notes, point)
    writer = LogWriter(db, signer, signer.key.vkey(), site.log, FixedClock(AT), disk_)
    async with db.read() as s:
        count = await s.scalar("SELECT count(*) FROM audit_entries")
    k = commits_of(count)
    while True:
        while await writer.step():
            pass
        if k == until:
            await db.close()
            return k
        await _commit(db, count, batch_size(k))
        count, k = count + batch_size(k), k + 1


async def _commit(db: Database, first: int, count: int) -> None:
    ids = iter(range(first, first + count))
    log.new_uuid7 = lambda: UUID(int=next(ids) + 1)  # type: ignore[attr-defined]
    async with db.write() as s:
        for k in range(first, first + count):
            data = {"customer": format_id("customer", UUID(int=k)), "reference": f"c-{k}"}
            await log.append(s, TENANT, "customer.created", data, at=AT)


def die_at(count: int) -> Callable[[], None]:
    """Kill this process at the `count`-th point."""
    left = count

    def point() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    return point


def crash(site: Site, chance: random.Random, report: Report) -> None:
    """One life and its end."""
    timed = chance.random() < TIMED
    points = 10**9 if timed else chance.randrange(1, POINTS_MAX)
    published = (site.log / tiles.CHECKPOINT).exists()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            asyncio.run(live(site, die_at(points), None))
            code = 0
        finally:
            os._exit(code)
    if timed:
        time.sleep(chance.random() * LATE_MAX_S)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    report.crashes += 1
    if not os.WIFSIGNALED(status):
        report.findings.append(f"life {report.crashes}: ended by itself with {status}")
    elif not timed and chance.random() < CUT:
        report.cuts += 1
        report.at_risk += cut(site.notes, chance)
    found = unsound(site)
    if published and not (site.log / tiles.CHECKPOINT).exists():
        found.append("what was published before this life is gone")
    report.findings += [f"after crash {report.crashes}: {what}" for what in found]


def unsound(site: Site) -> list[str]:
    """What is wrong with what the world can see now."""
    path = site.log / tiles.CHECKPOINT
    if not path.exists():
        return []
    try:
        head = note.open_checkpoint(path.read_text(), NotedSigner(site, lambda: None).key)
        tree = tiles.TileFolder(site.log)
        if tree.root(head.size) != head.root:
            return ["the tiles have another root than the published checkpoint"]
        last = (head.size - 1) // tiles.WIDTH
        tiles.split_bundle(tree.read(tiles.ENTRIES, last, head.size))
    except (note.NoteInvalid, UnicodeDecodeError, FileNotFoundError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


async def rows(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    db = Database(site.url)
    queries = {
        "numbers": "SELECT seq, leaf_hash FROM audit_sequence ORDER BY seq",
        "roots": "SELECT size, root FROM audit_roots ORDER BY size",
        "checkpoints": "SELECT size, root, note FROM audit_checkpoints ORDER BY size",
        "waiting": "SELECT entry_id FROM audit_pending",
    }
    async with db.read() as s:
        found = {name: [tuple(r) for r in await s.all(sql)] for name, sql in queries.items()}
    await db.close()
    return found


def compare(crashed: Site, calm: Site) -> list[str]:
    """Every way in which the crashed log is not the one of the run without a crash."""
    ours, theirs = contents(crashed.log), contents(calm.log)
    found = [
        f"{name}: {'differs' if name in ours and name in theirs else 'only in one'}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    there, here = asyncio.run(rows(crashed)), asyncio.run(rows(calm))
    found += [f"rows of {name} differ" for name in there if there[name] != here[name]]
    asked = {line for line in crashed.signed.read_text().splitlines() if line}
    if asked != {line for line in calm.signed.read_text().splitlines() if line}:
        found.append("the signer was asked for other roots")
    return found


def plant(name: str) -> None:
    """A bug, to see that the trials see it."""
    module: Any = disk
    if name == "bytes not synced":
        NotedDisk.sync = lambda *_: None  # type: ignore[method-assign]
    elif name == "folders not synced":
        NotedDisk.sync_folder = lambda *_: None  # type: ignore[method-assign]
    elif name == "only the folder of the file synced":
        whole = module.sync_folders
        module.sync_folders = lambda d, all_: whole(d, {max(all_, key=lambda p: len(p.parts))})
    else:
        raise ValueError(name)


def main() -> None:
    job = json.loads(os.environ["JOB"])
    crashed, calm = (Site(job[n], Path(job["folder"]) / n) for n in ("crashed", "calm"))
    for site in (crashed, calm):
        site.folder.mkdir()
    if job.get("plant"):
        plant(job["plant"])
    chance, report = random.Random(job["seed"]), Report()
    while report.crashes < job["crashes"] and not report.findings:
        crash(crashed, chance, report)
    if not report.findings:
        report.batches = asyncio.run(_settle(crashed))
        report.entries = sum(map(batch_size, range(report.batches)))
        asyncio.run(live(calm, lambda: None, report.batches))
        report.findings += compare(crashed, calm)
    json.dump(report.__dict__, sys.stdout)


async def _settle(site: Site) -> int:
    """The last life: it publishes what is committed, and ends."""
    db = Database(site.url)
    async with db.read() as s:
        count = await s.scalar("SELECT count(*) FROM audit_entries")
    await db.close()
    return await live(site, lambda: None, commits_of(count))


if __name__ == "__main__":
    main()

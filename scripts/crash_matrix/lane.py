"""A lane: one chain of its own, on which trials run one after the other.

The lane is forked from the warm parent and forks every process of a trial, so that none of them
has to start up. Between trials the chain goes back to its snapshot, and the database is copied.
"""

import asyncio
import json
import os
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from chains.devnet.anvil import Anvil
from custody.core import embedded
from custody.keys.store import Store
from scripts.crash_matrix import verdict
from scripts.crash_matrix.faults import KILL_SIGNER, Fault
from scripts.crash_matrix.harbour import (
    CHAIN_ID,
    TEMPLATE,
    Harbour,
    end,
    fork,
    point_at,
    serve_signer,
)
from scripts.crash_matrix.service import open_service
from scripts.crash_matrix.traffic import Traffic
from scripts.crash_matrix.verdict import Before, Verdict
from scripts.crash_matrix.worker import Site, work

TRIAL_MAX_S = 120
TRIALS_A_NODE = 5
"""A node forgets the oldest of its past states, and venues are compared at one of these."""
SIGNER_POINT = "signer: "
LIVES_MAX = 6
"""A process that dies more often than it was told to has a fault of its own."""


@dataclass(frozen=True)
class Trial:
    """One fault, and how many workers meet it. Without a fault it finds the points."""

    number: int
    kind: str
    fault: Fault | None = None
    workers: int = 1


@dataclass
class Result:
    trial: Trial
    verdict: Verdict
    struck: bool
    took_s: float
    seen: dict[str, Counter[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        fault = self.trial.fault
        return {
            "number": self.trial.number,
            "kind": self.trial.kind,
            "fault": None if fault is None else fault.to_json(),
            "struck": self.struck,
            "took_s": round(self.took_s, 2),
            "verdict": self.verdict.to_json(),
            "seen": {name: dict(counts) for name, counts in self.seen.items()},
        }


class Lane:
    """Requires to live in the thread that made it: its chain ends with it."""

    def __init__(self, harbour: Harbour, name: str, planted: str | None) -> None:
        self._h, self._name, self._planted = harbour, name, planted
        self._before: Before | None = None
        self._trials = 0
        self._begin()

    def _begin(self) -> None:
        self._anvil = Anvil.start(chain_id=CHAIN_ID, load_state=self._h.chain_state)
        self._anvil.rpc("evm_setAutomine", False)
        self._snapshot = self._anvil.snapshot()

    def close(self) -> None:
        self._anvil.stop()

    def run(self, trial: Trial) -> Result:
        """One trial, from a fresh start to the verdict."""
        started = time.monotonic()
        self._trials += 1
        if self._trials % TRIALS_A_NODE == 0:
            self._anvil.stop()
            self._begin()
        site = self._prepare(trial)
        if self._before is None:
            self._before = asyncio.run(self._look(site))
        try:
            ended = self._play(trial, site)
            found = asyncio.run(self._judge(site, ended))
            if found.jams and site.refused.exists():
                found.jams.append(f"last refusal: {site.refused.read_text()}")
            seen = _seen(site)
            return Result(trial, found, site.struck.exists(), time.monotonic() - started, seen)
        finally:
            shutil.rmtree(site.folder, ignore_errors=True)
            asyncio.run(self._database(f'DROP DATABASE "{self._database_name()}" WITH (FORCE)'))

    def _database_name(self) -> str:
        return f"crash_{self._name}"

    def _prepare(self, trial: Trial) -> Site:
        folder = self._h.root / f"{self._name}.{trial.number}"
        home = folder / "home"
        home.mkdir(parents=True)
        shutil.copytree(self._h.home / "signer", home / "signer", ignore=_ignore_sockets)
        shutil.copy(self._h.home / "installation.json", home)
        shutil.copy(self._h.home / "exchange.key.json", home)
        point_at(home, self._anvil.rpc_url)
        self._anvil.rpc("anvil_dropAllTransactions")
        self._anvil.revert(self._snapshot)
        self._anvil.rpc("anvil_dropAllTransactions")
        self._snapshot = self._anvil.snapshot()
        name = self._database_name()
        asyncio.run(
            self._database(
                f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
                f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" OWNER {embedded.OWNER_ROLE}'
                " STRATEGY file_copy",
            )
        )
        return Site(self._h, folder, self._h.app_url(name), self._anvil.rpc_url)

    async def _database(self, *statements: str) -> None:
        admin = await asyncpg.connect(
            f"postgresql://postgres@/postgres?host={self._h.postgres.socket}"
        )
        for statement in statements:
            await admin.execute(statement)
        await admin.close()

    async def _look(self, site: Site) -> Before:
        async with open_service(site.home, site.database_url) as service:
            return await verdict.before(self._h, service, site.rpc_url)

    async def _judge(self, site: Site, ended: bool) -> Verdict:
        assert self._before is not None
        traffic = Traffic(self._h, site.folder / "client.json")
        async with open_service(site.home, site.database_url) as service:
            # This look is not a worker's start: what is stopped is stopped by a worker.
            await _undo_begin(service)
            return await verdict.judge(
                self._h, service, traffic, site.rpc_url, self._before, ended=ended
            )

    def _play(self, trial: Trial, site: Site) -> bool:
        """Let the processes live and die until one of them ends well. False: it never did."""
        deadline = time.monotonic() + TRIAL_MAX_S
        signing = self._start_signer(trial, site)
        working = {self._start_worker(trial, site, n) for n in range(trial.workers)}
        lives = trial.workers
        ended = False
        while working and time.monotonic() < deadline:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(0.002)
            elif pid == signing:
                signing = self._start_signer(None, site)
            elif pid in working:
                working.discard(pid)
                ended = ended or os.waitstatus_to_exitcode(status) == 0
                if os.WIFSIGNALED(status) and lives < LIVES_MAX:
                    lives += 1
                    working.add(self._start_worker(None, site, lives))
        for pid in working:
            _kill(pid)
        end(signing)
        return ended and not working

    def _start_signer(self, trial: Trial | None, site: Site) -> int:
        fault = None if trial is None else trial.fault
        seen = site.folder / "signer.seen" if trial is not None and fault is None else None
        pid = fork(lambda: _sign(site, self._h, fault, seen, self._planted))
        site.signer_pid.write_text(str(pid))
        return pid

    def _start_worker(self, trial: Trial | None, site: Site, number: int) -> int:
        """Of two workers the first meets the fault; both dawdle, each in its own way."""
        fault = trial.fault if trial is not None and number == 0 else None
        racing = trial is not None and trial.workers > 1
        jitter = trial.number * 2 + number if trial is not None and racing else None
        return fork(lambda: work(site, fault, self._planted, jitter))


def _sign(
    site: Site, h: Harbour, fault: Fault | None, seen: Path | None, planted: str | None
) -> None:
    """The signer; if told to, it dies before a statement of its store is run."""
    import logging

    from scripts.crash_matrix import sabotage

    logging.disable(logging.CRITICAL)
    if planted is not None:
        sabotage.plant(planted)
    counts: Counter[str] = Counter()

    def watch(store: Store) -> None:
        def run(statement: str) -> None:
            point = SIGNER_POINT + " ".join(statement.split()[:3])
            before = counts[point]
            counts[point] += 1
            if seen is not None:
                seen.write_text(json.dumps(counts))
            if fault is not None and (fault.point, fault.nth) == (point, before):
                site.struck.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        store._db.set_trace_callback(run)

    serve_signer(site.home, h.keyring, watch)


def is_signer_fault(fault: Fault) -> bool:
    return fault.point.startswith(SIGNER_POINT) or fault.do == KILL_SIGNER


def _seen(site: Site) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    if site.seen.exists():
        found = {k: Counter(v) for k, v in json.loads(site.seen.read_text()).items()}
    signer = site.folder / "signer.seen"
    if signer.exists():
        found["signer"] = Counter(json.loads(signer.read_text()))
    return found


def _ignore_sockets(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if n.endswith(".sock") or n == "lock"]


async def _undo_begin(service: Any) -> None:
    async with service.parts.db.write() as s:
        await s.execute("DELETE FROM signing_stops WHERE reason = 'not compared yet'")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)

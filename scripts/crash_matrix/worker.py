"""A process of a trial: the API, its clients and the worker's jobs, until all is ended."""

import asyncio
import itertools
import json
import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from chains.devnet.rpc import rpc
from chains.devnet.scenario.chain import Fate, reorg
from custody.settlement import confirm, simulate
from scripts.crash_matrix import sabotage
from scripts.crash_matrix.faults import RPC_FAULTS, Fault, SpoiledNode, strike
from scripts.crash_matrix.harbour import Harbour
from scripts.crash_matrix.probe import Points
from scripts.crash_matrix.service import Service, Unexpected, open_service
from scripts.crash_matrix.traffic import Traffic

BLOCKS_A_ROUND = 4
ROUNDS_MAX = 60
RETRY_S = 0.05
PATIENCE_S = 60.0
"""Of a process, over all its rounds."""
JAMMED = 3
"""The exit code of a process that used up its rounds."""
REORG = "reorg"


@dataclass(frozen=True)
class Site:
    """Where a trial happens: everything in `folder` is thrown away after it."""

    harbour: Harbour
    folder: Path
    database_url: str
    rpc_url: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def struck(self) -> Path:
        """Written just before the fault strikes."""
        return self.folder / "struck"

    @property
    def refused(self) -> Path:
        """What a client was told last that was no success."""
        return self.folder / "refused"

    @property
    def seen(self) -> Path:
        """Points that the process passed, written when it ends; for the discovery."""
        return self.folder / "seen.json"

    @property
    def signer_pid(self) -> Path:
        return self.folder / "signer.pid"


def work(site: Site, fault: Fault | None, planted: str | None, jitter: int | None = None) -> None:
    """Run until all is ended (exit 0) or the rounds are used up (exit JAMMED)."""
    logging.disable(logging.CRITICAL)
    # A trial may wait for nothing that only spares a node, or a person's patience.
    confirm.RESEND_AFTER_S = 0
    simulate.WAIT = timedelta(0)
    if planted is not None:
        sabotage.plant(planted)
    with asyncio.Runner() as runner:
        points = Points(_strike(site, fault, jitter))
        node = SpoiledNode(fault if fault and fault.do in RPC_FAULTS else None, _noter(site))
        node.install()
        points.watch(runner.get_loop())
        done = runner.run(_run(site, fault))
    site.seen.write_text(json.dumps({"points": points.passed, "rpc": node.asked}))
    sys.exit(0 if done else JAMMED)


def _noter(site: Site) -> Callable[[], None]:
    return lambda: site.struck.touch()


def _strike(site: Site, fault: Fault | None, jitter: int | None) -> Callable[[str, int], Any]:
    if fault is not None and fault.do not in (*RPC_FAULTS, REORG):
        hit = strike(fault, _noter(site), lambda: int(site.signer_pid.read_text()))
    else:
        hit = None
    dice = None if jitter is None else random.Random(jitter)

    def at(point: str, before: int) -> None:
        if dice is not None and dice.random() < 0.05:
            time.sleep(dice.random() / 200)  # so that two workers meet differently each time
        if hit is not None:
            hit(point, before)

    return at


async def _run(site: Site, fault: Fault | None) -> bool:
    """The body is a task of its own, made after the loop is watched."""
    return await asyncio.create_task(_live(site, fault))


async def _live(site: Site, fault: Fault | None) -> bool:
    traffic = Traffic(site.harbour, site.folder / "client.json")
    async with open_service(site.home, site.database_url) as service:
        patience, refused = time.monotonic() + PATIENCE_S, 0
        for number in itertools.count():
            try:
                if await _round(service, site, traffic, fault, number):
                    return True
            except Unexpected as refusal:
                # As a client waits that is told so: the transaction of a killed process may still
                # hold a key, for as long as the database's own process gets no time.
                refused += 1
                site.refused.write_text(str(refusal))
                await asyncio.sleep(RETRY_S)
            if number + 1 - refused >= ROUNDS_MAX or time.monotonic() > patience:
                return False
    return False


async def _round(
    service: Service, site: Site, traffic: Traffic, fault: Fault | None, number: int
) -> bool:
    """One round of everybody; True once all is ended. Raises Unexpected where one was refused.

    A reorg takes blocks whose receipts were seen in the round before.
    """
    if fault is not None and fault.do == REORG and number == fault.nth:
        site.struck.touch()
        fate, depth = fault.point.split(" ")
        reorg(site.rpc_url, int(depth), Fate[fate])
    await traffic.ask(service)
    # A client that is refused waits and mines nothing: a node remembers only so many past states.
    rpc(site.rpc_url, "anvil_mine", hex(BLOCKS_A_ROUND))
    await service.step(service.way())
    await traffic.people(service)
    return await traffic.ended(service)

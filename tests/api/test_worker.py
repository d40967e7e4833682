"""Paced jobs: their steps follow each other under one lease, and end when they are told to."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from api import worker
from api.worker import Job, keep
from chains.errors import ChainError
from custody.core.db import Database
from custody.core.leases import Leases

unit = pytest.mark.unit


class OneLease:
    """Ours or not; counts how often it was taken."""

    def __init__(self, ours: bool = True) -> None:
        self.ours, self.taken = ours, 0

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[bool]:
        self.taken += 1
        yield self.ours


async def kept(job: Job, lease: OneLease, seconds: float) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(keep(cast(Leases, lease), job, stop))
    await asyncio.sleep(seconds)
    stop.set()
    await asyncio.wait_for(task, 2)


@unit
async def test_steps_follow_each_other_under_one_lease() -> None:
    steps, lease = [], OneLease()

    async def step() -> None:
        steps.append(asyncio.get_running_loop().time())

    await kept(Job("j", step, 1_000, pace_ms=10), lease, 0.5)
    assert lease.taken == 1
    assert 10 < len(steps) <= 52


@unit
async def test_the_lease_is_given_up_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LEASE_S", 0.05)
    lease = OneLease()

    async def step() -> None:
        pass

    await kept(Job("j", step, 1_000, pace_ms=5), lease, 0.5)
    assert 2 < lease.taken <= 10


@unit
async def test_a_failing_step_waits_for_the_next_trigger() -> None:
    steps, lease = [], OneLease()

    async def step() -> None:
        steps.append(1)
        raise ChainError("away")

    await kept(Job("j", step, 100, pace_ms=1), lease, 0.5)
    assert 1 < len(steps) <= 6


@unit
async def test_without_the_lease_nothing_is_done() -> None:
    steps, lease = [], OneLease(ours=False)

    async def step() -> None:
        steps.append(1)

    await kept(Job("j", step, 50, pace_ms=1), lease, 0.3)
    assert steps == []
    assert 1 < lease.taken <= 7


@pytest.mark.postgres
async def test_the_worker_runs_both_kinds_until_it_is_told_to_stop(database: Database) -> None:
    """A step that is under way ends before the process does."""
    begun: dict[str, int] = {"paced": 0, "triggered": 0}
    ended: dict[str, int] = {"paced": 0, "triggered": 0}

    def job(name: str, pace_ms: int | None) -> Job:
        async def step() -> None:
            begun[name] += 1
            await asyncio.sleep(0.05)
            ended[name] += 1

        return Job(name, step, 100, pace_ms)

    running = asyncio.create_task(worker.run(database, [job("paced", 1), job("triggered", None)]))
    while min(begun.values()) < 2:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 10)
    assert begun == ended
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(name)

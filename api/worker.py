"""The worker: APScheduler is only the trigger; each job takes its database lease first.

A job looks for rows to advance. It can die anywhere, and two workers never do the same step.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from chains.errors import ChainError
from custody.core.db import Database
from custody.core.leases import Leases
from custody.core.ports import SignerUnavailable

logger = logging.getLogger(__name__)

STOP_WAIT_S = 10.0
LEASE_S = 5.0
"""How long the steps of a paced job go on under one lease."""
_running: set[asyncio.Task[object]] = set()


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does one step and says how much it moved. `every_ms` is the pause between triggers.

    With `pace_ms` its steps follow each other at that pace under one lease, which a trigger a step
    is too slow and too dear for; `every_ms` is then the pause after a failure, or while another
    worker has the lease.
    """

    name: str
    run: Callable[[], Awaitable[object]]
    every_ms: int
    pace_ms: int | None = None


async def run_job(leases: Leases, job: Job) -> bool:
    """One triggered step under the job's lease; a failing step is logged and tried again later.

    Whether the lease was ours and nothing failed.
    """
    task = asyncio.current_task()
    if task is not None:
        _running.add(task)
        task.add_done_callback(_running.discard)
    try:
        async with leases.hold(f"job/{job.name}") as mine:
            if mine:
                await job.run()
        return mine
    except (ChainError, SignerUnavailable) as error:
        logger.warning("job waits", extra={"job": job.name, "error": error})
    except Exception:
        logger.exception("job failed", extra={"job": job.name})
    return False


async def keep(leases: Leases, job: Job, stop: asyncio.Event) -> None:
    """The steps of a paced job, until `stop`."""
    assert job.pace_ms is not None
    steps = replace(job, run=lambda: _steps(job, stop))
    while not stop.is_set():
        well = await asyncio.create_task(run_job(leases, steps))
        await asyncio.sleep((job.pace_ms if well else job.every_ms) / 1000)


async def _steps(job: Job, stop: asyncio.Event) -> None:
    assert job.pace_ms is not None
    now = asyncio.get_running_loop().time
    end = now() + LEASE_S
    while not stop.is_set() and (begun := now()) < end:
        await job.run()
        await asyncio.sleep(begun + job.pace_ms / 1000 - now())


async def run(db: Database, jobs: list[Job]) -> None:
    """Trigger the jobs until SIGTERM or SIGINT; then let running steps end."""
    scheduler = AsyncIOScheduler(
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": 60}
    )
    leases = Leases(db)
    stop = asyncio.Event()
    kept = [asyncio.create_task(keep(leases, job, stop)) for job in jobs if job.pace_ms]
    for job in jobs:
        if job.pace_ms is None:
            scheduler.add_job(
                run_job, "interval", seconds=job.every_ms / 1000, args=[leases, job], id=job.name
            )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler.start()
    logger.info("worker started", extra={"jobs": ",".join(job.name for job in jobs)})
    await stop.wait()
    scheduler.pause()
    if ending := {*_running, *kept}:  # a step may be cut anywhere, but need not be
        await asyncio.wait(ending, timeout=STOP_WAIT_S)
    scheduler.shutdown(wait=False)
    await leases.close()
    await db.close()

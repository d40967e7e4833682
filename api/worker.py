"""The worker: APScheduler is only the trigger; each job takes its database lease first.

A job looks for rows to advance. It can die anywhere, and two workers never do the same step.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from chains.errors import ChainError
from custody.core.db import Database
from custody.core.leases import Leases
from custody.core.ports import SignerUnavailable

logger = logging.getLogger(__name__)

STOP_WAIT_S = 10.0
_running: set[asyncio.Task[object]] = set()


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does one step and says how much it moved. `every_ms` is the pause between triggers."""

    name: str
    run: Callable[[], Awaitable[object]]
    every_ms: int


async def run_job(leases: Leases, job: Job) -> None:
    """One triggered step under the job's lease; a failing step is logged and tried again later."""
    task = asyncio.current_task()
    if task is not None:
        _running.add(task)
        task.add_done_callback(_running.discard)
    try:
        async with leases.hold(f"job/{job.name}") as mine:
            if mine:
                await job.run()
    except (ChainError, SignerUnavailable) as error:
        logger.warning("job waits", extra={"job": job.name, "error": error})
    except Exception:
        logger.exception("job failed", extra={"job": job.name})


async def run(db: Database, jobs: list[Job]) -> None:
    """Trigger the jobs until SIGTERM or SIGINT; then let running steps end."""
    scheduler = AsyncIOScheduler(
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": 60}
    )
    leases = Leases(db)
    for job in jobs:
        scheduler.add_job(
            run_job, "interval", seconds=job.every_ms / 1000, args=[leases, job], id=job.name
        )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler.start()
    logger.info("worker started", extra={"jobs": ",".join(job.name for job in jobs)})
    await stop.wait()
    scheduler.pause()
    if _running:  # a step may be cut anywhere, but need not be
        await asyncio.wait(_running, timeout=STOP_WAIT_S)
    scheduler.shutdown(wait=False)
    await leases.close()
    await db.close()

"""What the worker's jobs ask before they give numbers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api import jobs
from api.wiring import Parts
from custody.assurance.solvency.deps import SolvencyDeps
from custody.audit.published import Forked
from custody.core.clock import FixedClock
from custody.core.db import Database
from custody.core.ports import SignerUnavailable
from tests.custody.audit.entries import AT, LogSigner, add, log_writer, sign_log

pytestmark = pytest.mark.postgres

SIZE = 5
Step = Callable[[Parts, asyncio.Event], Awaitable[object]]
STEPS: dict[str, Step] = {
    "seals": lambda p, compared: jobs._seal(p, compared),
    "epochs": lambda p, compared: jobs._prove_solvency(p, cast(SolvencyDeps, None), compared),
    "numbers": lambda p, compared: jobs._write_log(
        p, log_writer(p.db, LogSigner(), p.settings.audit_folder), compared
    ),
}


class Asked:
    """The signer's status; `size` is what it signed last, None while it is away."""

    def __init__(self, size: int | None) -> None:
        self.size, self.times = size, 0

    async def status(self) -> dict[str, Any]:
        self.times += 1
        if self.size is None:
            raise SignerUnavailable("away")
        return {"log_size": self.size}


async def parts(database: Database, folder: Path, signer: Asked) -> Parts:
    """With a published log of SIZE entries."""
    writer = LogSigner()
    await add(database, SIZE)
    await sign_log(database, writer, folder)
    installation = SimpleNamespace(log_vkey=writer.key.vkey())
    settings = SimpleNamespace(audit_folder=folder)
    made = SimpleNamespace(
        db=database,
        signer=signer,
        installation=installation,
        settings=settings,
        clock=FixedClock(AT),
    )
    return cast(Parts, made)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_nothing_is_made_while_the_signer_alone_knows_more(
    database: Database, tmp_path: Path, step: Step
) -> None:
    """Property 54: rows and folder came back from one backup. A seal, or an epoch, would have the
    number of one that is in the lost log."""
    signer, compared = Asked(SIZE + 1), asyncio.Event()
    p = await parts(database, tmp_path / "log", signer)
    with pytest.raises(Forked, match="6 entries were published or signed, and 5 are here"):
        await step(p, compared)
    signer.size = None
    with pytest.raises(SignerUnavailable):
        await step(p, compared)
    assert not compared.is_set()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_the_signer_is_asked_once_a_start(
    database: Database, tmp_path: Path, step: Step
) -> None:
    signer, compared = Asked(SIZE), asyncio.Event()
    p = await parts(database, tmp_path / "log", signer)
    await step(p, compared)
    signer.size = None
    await step(p, compared)
    assert signer.times == 1

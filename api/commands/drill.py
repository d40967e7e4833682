"""`moorage drill`: an installation on an empty machine, from shares and a backup, and checked.

It rebuilds keys, the signer's store and the database, compares them with each other and with the
chains, and tries the payout wallet with a transfer of nothing to itself. The signer starts frozen;
it signs once a person of the founding tenant's treasury has lifted that. Nothing is repaired.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from api import dumps, wiring
from api.commands import backup as backups
from api.commands import drill_checks as checks
from api.commands import drill_transfer
from api.commands.backup import Backup
from api.commands.drill_checks import Row
from api.embedded import database_urls
from api.migrations.run import upgrade
from api.processes import end_with_parent
from chains.errors import ChainError
from custody.audit import kept
from custody.core.clock import SystemClock
from custody.core.errors import Conflict, Unavailable
from custody.core.ids import parse_id
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.core.settings import Settings
from custody.keys import ceremony, homes, shares
from custody.keys.client import SignerClient
from custody.keys.people import PersonKey, unfreeze_payload
from custody.keys.shares import Share

SIGNER_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Lifter:
    """Who lifts the freeze: a person of the founding tenant's treasury, by their own key."""

    person: str
    key: PersonKey


def rebuild(settings: Settings, backup: Backup, files: Sequence[Path], passphrase: str) -> None:
    """Signer's folder, public file and database. Requires that the home has none of them.

    Raises SharesRefused before anything is made, Conflict, CannotOpen, Unavailable.
    """
    plain = shares.combine([Share.read(path) for path in files])
    home = settings.home.resolve()
    if settings.installation_file.exists() or settings.postgres_folder.exists():
        raise Conflict(f"{home} has an installation; a drill needs an empty home")
    ceremony.restore(home, plain, passphrase=passphrase, store=backup.store, clock=SystemClock())
    urls = database_urls(settings, start=True)
    dumps.restore(urls.owner, backup.database)
    if backup.log is not None:
        kept.unpack(backup.log, settings.audit_folder)
    # Last: without it nothing here can be served.
    settings.installation_file.write_bytes(backup.installation.read_bytes())


async def check(
    settings: Settings, backup: Backup, lifter: Lifter | None, *, send: bool
) -> list[Row]:
    """A row a check, in the order in which they would stop a service. Runs a signer meanwhile."""
    await upgrade(database_urls(settings, start=False).owner)
    p = wiring.parts(settings, exchanges=False)
    try:
        async with _signer(settings):
            rows = [await checks.keys(p)]
            rows += [await checks.addresses(p), await checks.log(p, backup)]
            rows += [await checks.ledger(p)]
            rows += [await checks.chain(p, chain_id) for chain_id in sorted(p.registry.chains)]
            return [*rows, await _transfer(p, lifter, rows, send=send)]
    finally:
        await p.close()
        await p.db.close()


async def _transfer(
    p: wiring.Parts, lifter: Lifter | None, before: list[Row], *, send: bool
) -> Row:
    """Only where everything else is good: a wallet that may be behind signs nothing."""
    name = "test transfer"
    bad = [row.name for row in before if not row.ok]
    if bad:
        return Row(name, False, f"not done: {', '.join(bad)}")
    try:
        frozen_at = (await p.signer.status())["frozen_at"]
        if frozen_at is not None and lifter is None:
            return Row(name, False, f"not done: the signer is frozen since {frozen_at}")
        if frozen_at is not None and lifter is not None:
            await _lift(p.signer, lifter, frozen_at)
        return await drill_transfer.done(p, name, send=send)
    except (ChainError, SignerRefused, SignerUnavailable) as error:
        return Row(name, False, f"failed: {error}")


async def _lift(signer: SignerClient, lifter: Lifter, frozen_at: str) -> None:
    """Raises SignerRefused for a person who may not."""
    payload = unfreeze_payload(parse_id("person", lifter.person, "person"), frozen_at)
    await signer.unfreeze(lifter.person, lifter.key.sign(payload).hex())


@asynccontextmanager
async def _signer(settings: Settings) -> AsyncIterator[None]:
    """The signer as `moorage serve` starts it, for as long as the block. Raises Unavailable."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "signer"),
        env={**os.environ, "MOORAGE_HOME": str(settings.home.resolve())},
        stdout=asyncio.subprocess.DEVNULL,
        preexec_fn=end_with_parent,
    )
    try:
        await _ready(child, homes.socket_path(settings.home).exists)
        yield
    finally:
        with suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


async def _ready(child: asyncio.subprocess.Process, listens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SIGNER_START_S
    while not listens():
        if child.returncode is not None or time.monotonic() > deadline:
            raise Unavailable("the signer did not start")
        await asyncio.sleep(0.05)


def run(
    settings: Settings,
    folder: Path,
    files: Sequence[Path],
    secret_file: Path,
    lifter: Lifter | None,
    *,
    send: bool,
) -> list[Row]:
    """The whole drill; with no share files only the checks again, on what was rebuilt before."""
    backup = backups.read(folder)
    if files:
        rebuild(settings, backup, files, homes.read_private(secret_file))
    return asyncio.run(check(settings, backup, lifter, send=send))

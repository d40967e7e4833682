"""`moorage back-up`: what an empty machine needs besides the shares, in one new folder.

    database.dump      PostgreSQL's own format; taken first
    installation.json  chains, assets, contracts, log key; nothing secret
    signer-store.db    what the signer remembers
    log.tar            the published log; taken last
    manifest.json      the hash of each, and the log's newest checkpoint

The order matters: a store that knows more than the database is found out and repaired, one that
knows less could sign a payment again. What the log has more than the database is put back
(`moorage log-restore`). Keys are in none of these; they come from the shares.
"""

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api import dumps
from api.embedded import database_urls
from custody.audit import kept, published
from custody.audit.checkpoint import Checkpoint, latest_checkpoint
from custody.audit.note import LogKey
from custody.core import installation
from custody.core.clock import SystemClock, iso_us
from custody.core.db import Database
from custody.core.errors import InvalidInput, Unavailable
from custody.core.serialization import loads
from custody.core.settings import Settings
from custody.keys import homes
from custody.keys.store import copy_store, signed_size

SCHEMA = "moorage.backup/1"
MANIFEST = "manifest.json"
DATABASE = "database.dump"
INSTALLATION = "installation.json"
STORE = "signer-store.db"
LOG = "log.tar"
FILES = (DATABASE, INSTALLATION, STORE, LOG)
OLDER = frozenset({DATABASE, INSTALLATION, STORE})
"""Backups of before have no log."""
PUBLISH_S = 2.0
"""What the signer has just signed is published by then."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A folder whose files are those of its manifest. `root` is hex; size 0: none was signed.
    `log` is None in a backup of before there was one."""

    folder: Path
    made_at: str
    size: int
    root: str
    log: Path | None = None

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    @property
    def installation(self) -> Path:
        return self.folder / INSTALLATION

    @property
    def store(self) -> Path:
        return self.folder / STORE


def make(settings: Settings, folder: Path) -> Backup:
    """Into `folder`, which must be new. The manifest comes last: without it there is no backup.

    Raises FileExistsError, Unavailable, CannotOpen.
    """
    folder.mkdir(mode=0o700, parents=True)
    made_at = iso_us(SystemClock().now())
    urls = database_urls(settings, start=False)
    head = asyncio.run(_head(urls.app))
    # A checkpoint that is read before is in the dump for certain.
    dumps.dump(urls.owner, folder / DATABASE)
    (folder / INSTALLATION).write_bytes(settings.installation_file.read_bytes())
    copy_store(homes.folder(settings.home) / "store.db", folder / STORE)
    _keep_log(settings, folder)
    size, root = (head.size, head.root.hex()) if head else (0, "")
    _write_manifest(Backup(folder, made_at, size, root))
    return read(folder)


def _keep_log(settings: Settings, folder: Path) -> None:
    """Once it has all that the copied store signed: the two are a moment apart. Raises Unavailable
    where it is short of that: after a restore of such a backup the log could not go on."""
    key = LogKey.parse(installation.load(settings.installation_file).log_vkey)
    signed, deadline = signed_size(folder / STORE, key.name), time.monotonic() + PUBLISH_S
    while _published(settings.audit_folder, key) < signed and time.monotonic() < deadline:
        time.sleep(0.02)
    size = kept.keep(settings.audit_folder, key, folder / LOG)
    if size < signed:
        raise Unavailable(
            f"the signer signed {signed} entries, and the log's folder has {size}: start the"
            " worker, which writes what is missing, or bring the folder back; then back up again"
        )


def _published(folder: Path, key: LogKey) -> int:
    head = published.head(folder, key)
    return 0 if head is None else head.size


async def _head(database_url: str) -> Checkpoint | None:
    db = Database(database_url)
    try:
        async with db.read() as s:
            return await latest_checkpoint(s)
    finally:
        await db.close()


def read(folder: Path) -> Backup:
    """Raises InvalidInput for a folder that is not the backup which was made."""
    try:
        body: dict[str, Any] = loads((folder / MANIFEST).read_bytes())
        files = body["files"]
        good = body["schema"] == SCHEMA and set(files) in (set(FILES), OLDER)
        log = folder / LOG if LOG in files else None
        found = Backup(folder, str(body["made_at"]), int(body["size"]), str(body["root"]), log)
        named = [name for name in FILES if name in files]
        changed = [name for name in named if _hash(folder / name) != files[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        rule = f"must be a folder that `moorage back-up` made: {error}"
        raise InvalidInput("backup", rule) from None
    if not good:
        raise InvalidInput("backup", f"must be of schema {SCHEMA}")
    if changed:
        raise InvalidInput("backup", f"{', '.join(changed)}: must have the hash of the manifest")
    return found


def _write_manifest(backup: Backup) -> None:
    body = {
        "schema": SCHEMA,
        "made_at": backup.made_at,
        "size": backup.size,
        "root": backup.root,
        "files": {name: _hash(backup.folder / name) for name in FILES},
    }
    (backup.folder / MANIFEST).write_text(json.dumps(body, indent=1) + "\n")


def _hash(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()

"""A backup has as much of the log as its copy of the signer's store signed, or there is none."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from api.commands import backup
from custody.core import installation
from custody.core.db import Database
from custody.core.errors import Unavailable
from custody.core.settings import Settings
from tests.custody.audit.entries import LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

SIZE = 5


def store(file: Path, origin: str, size: int) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE checkpoints (origin TEXT, size INTEGER)")
        db.execute("INSERT INTO checkpoints VALUES (?, ?)", (origin, size))
        db.commit()


@pytest.mark.parametrize("signed", [SIZE, SIZE + 1])
async def test_a_log_that_is_short_of_the_signer_is_no_backup(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: int
) -> None:
    signer, log = LogSigner(), tmp_path / "log"
    await add(database, SIZE)
    await sign_log(database, signer, log)
    store(tmp_path / backup.STORE, signer.key.name, signed)
    known = SimpleNamespace(log_vkey=signer.key.vkey())
    monkeypatch.setattr(installation, "load", lambda _: known)
    monkeypatch.setattr(backup, "PUBLISH_S", 0.05)
    settings = cast(Settings, SimpleNamespace(audit_folder=log, installation_file=None))
    if signed > SIZE:
        with pytest.raises(Unavailable, match="signed 6 entries, and the log's folder has 5"):
            backup._keep_log(settings, tmp_path)
    else:
        backup._keep_log(settings, tmp_path)
        assert (tmp_path / backup.LOG).exists()

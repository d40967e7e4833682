"""The signer's folder: `<home>/signer` with the envelope, the store, the lock and the socket."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody.core.clock import Clock
from custody.keys import envelope
from custody.keys.desk import Desk
from custody.keys.envelope import Envelope, KeyName
from custody.keys.keyring import Keyring
from custody.keys.store import OWNER_SWITCH, Store
from custody.keys.vault import LocalKek

PASSPHRASE_VARIABLE = "MOORAGE_KEK_PASSPHRASE_FILE"
KEY_ID = "root"
VERSION_SWITCH = "envelope_version"
"""With the owner: which envelope belongs here, so an older or foreign one does not open."""


class SignerBusy(Exception):
    """Another signer works in this folder."""


def folder(home: Path) -> Path:
    return home.resolve() / "signer"


def socket_path(home: Path) -> Path:
    return folder(home) / "signer.sock"


def passphrase_file(home: Path) -> Path:
    """Named by the environment, else the file that the ceremony made."""
    named = os.environ.get(PASSPHRASE_VARIABLE)
    return Path(named) if named else folder(home) / "kek.passphrase"


def read_passphrase(home: Path) -> str:
    """Raises PermissionError when anybody but the owner may read the file."""
    path = passphrase_file(home)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path.name}: must be readable by its owner alone (0600)")
    return path.read_text().rstrip("\n")


def read_envelope(home: Path) -> Envelope:
    return Envelope.from_json(json.loads((folder(home) / "envelope.json").read_text()))


def write_envelope(directory: Path, sealed: Envelope) -> None:
    """Replace the file in one step: a crash leaves the old one or the new one."""
    fresh = directory / "envelope.json.new"
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(json.dumps(sealed.to_json(), indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / "envelope.json")


def open_desk(home: Path, passphrase: str, clock: Clock) -> Desk:
    """Store and keys of a folder. Requires the lock.

    Raises CannotOpen for a wrong passphrase or an envelope that does not belong here.
    """
    store = Store(folder(home) / "store.db")
    sealed = read_envelope(home)
    name = KeyName(store.switch(OWNER_SWITCH) or "", KEY_ID, int(store.switch(VERSION_SWITCH) or 0))
    kek = LocalKek.reopen(passphrase, sealed.kek)
    return Desk(store, Keyring(envelope.open_(sealed, name, kek)), clock)


def change_passphrase(home: Path, old: str, new: str) -> None:
    """Re-wrap the data key; a running signer goes on, the next start needs the new passphrase."""
    sealed = read_envelope(home)
    opened = LocalKek.reopen(old, sealed.kek)
    write_envelope(folder(home), envelope.rewrap(sealed, opened, LocalKek.create(new)))


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One signer a folder; the lock ends with its process. Raises SignerBusy."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise SignerBusy(f"another signer works in {directory}") from error
    try:
        yield
    finally:
        os.close(fd)

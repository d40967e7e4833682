"""The signer's folder: `<home>/signer` with the envelope, the store and the lock. Its socket lies
beside it, in a folder that may be opened to a user who must not see these."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody.core.clock import Clock
from custody.keys import envelope, keks
from custody.keys.desk import Desk
from custody.keys.envelope import Envelope, KeyName
from custody.keys.keyring import Keyring
from custody.keys.people import replace_private
from custody.keys.store import OWNER_SWITCH, Store

PASSPHRASE_VARIABLE = "MOORAGE_KEK_PASSPHRASE_FILE"
KEY_ID = "root"
VERSION_SWITCH = "envelope_version"
"""With the owner: which envelope belongs here, so an older or foreign one does not open."""


class SignerBusy(Exception):
    """Another signer works in this folder."""


def folder(home: Path) -> Path:
    return home.resolve() / "signer"


def socket_path(home: Path) -> Path:
    return home.resolve() / "run" / "signer.sock"


def passphrase_file(home: Path) -> Path:
    """Of the passphrase, or a module's PIN. Named by the environment, else the ceremony's file."""
    named = os.environ.get(PASSPHRASE_VARIABLE)
    return Path(named) if named else folder(home) / "kek.passphrase"


def read_passphrase(home: Path) -> str:
    """Raises PermissionError when anybody but the owner may read the file."""
    return read_private(passphrase_file(home))


def read_private(path: Path) -> str:
    """A file's one line. Raises PermissionError when anybody but the owner may read it."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PermissionError(f"{path.name}: must be readable by its owner alone (0600)")
    return path.read_text().rstrip("\n")


def read_secret(home: Path) -> str:
    """What the folder's KEK asks of this machine: nothing for AWS KMS. Raises PermissionError."""
    return read_passphrase(home) if keks.needs_secret(read_envelope(home).kek) else ""


def read_envelope(home: Path) -> Envelope:
    return Envelope.from_json(json.loads((folder(home) / "envelope.json").read_text()))


def write_envelope(directory: Path, sealed: Envelope) -> None:
    """Replace the file in one step: a crash leaves the old one or the new one."""
    replace_private(directory / "envelope.json", render(sealed))


def render(sealed: Envelope) -> str:
    """An envelope's file, which is what a backup is compared with."""
    return json.dumps(sealed.to_json(), indent=1) + "\n"


def open_desk(home: Path, secret: str, clock: Clock) -> Desk:
    """Store and keys of a folder; `secret` is the passphrase or PIN. Requires the lock.

    Raises CannotOpen for a wrong secret or an envelope that does not belong here, KekDestroyed for
    one whose KEK is gone.
    """
    store = Store(folder(home) / "store.db")
    return Desk(store, Keyring(_opened(home, store, secret)), clock)


def open_secrets(home: Path, secret: str) -> bytes:
    """What the envelope seals, for shares of it. Raises as `open_desk` does; needs no lock."""
    store = Store(folder(home) / "store.db")
    try:
        return _opened(home, store, secret)
    finally:
        store.close()


def _opened(home: Path, store: Store, secret: str) -> bytes:
    sealed = read_envelope(home)
    name = KeyName(store.switch(OWNER_SWITCH) or "", KEY_ID, int(store.switch(VERSION_SWITCH) or 0))
    kek = keks.reopen(folder(home), sealed.kek, secret)
    return envelope.open_(sealed, name, kek)


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

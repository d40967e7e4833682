"""Life of a KEK: another one takes over, backups are made and verified, an old one is destroyed.

All of it runs beside a working signer, which has opened its keys and asks for no KEK until its next
start. A crash between two steps leaves a folder that opens, and the same command goes on.

RotationRefused
├── KekInUse
├── UnknownKek
└── BackupNotVerified
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody.core.clock import Clock
from custody.keys import envelope, homes, keks
from custody.keys.envelope import Envelope
from custody.keys.keks import Register, Verified, kek_id
from custody.keys.keyring import Keyring
from custody.keys.people import write_private
from custody.keys.vault import CannotOpen, Kek, LocalKek

FRESH_S = 86_400
"""How long a verified backup counts: somebody must have read it back within a day."""


class RotationRefused(Exception):
    """Nothing was changed."""


class KekInUse(RotationRefused):
    """The envelope in force is under this KEK."""


class UnknownKek(RotationRefused):
    """No envelope of this folder was ever under this KEK."""


class BackupNotVerified(RotationRefused):
    """No copy of the envelope in force was read back in the last day."""


def rotate(home: Path, old: Kek, new: Kek) -> str:
    """Put the folder's data key under `new`; the id of `new`. The secrets' bytes stay.

    What `old` wrapped before goes on to open: it is kept until `destroy`. Raises CannotOpen, and
    then nothing has changed.
    """
    with _alone(home) as directory:
        sealed = homes.read_envelope(home)
        rewrapped = envelope.rewrap(sealed, old, new)
        envelope.open_(rewrapped, sealed.name, new)
        register = Register.read(directory)
        for kek in (sealed.kek, rewrapped.kek):
            register.known[kek_id(kek)] = kek
        register.write(directory)
        homes.write_envelope(directory, rewrapped)
    return kek_id(rewrapped.kek)


def change_passphrase(home: Path, old: str, new: str) -> str:
    """A rotation from one passphrase to another; the next start needs the new one."""
    opened = LocalKek.reopen(old, homes.read_envelope(home).kek)
    return rotate(home, opened, LocalKek.create(new))


def back_up(home: Path, target: Path) -> None:
    """A copy of the envelope in force, mode 0600. Raises FileExistsError: backups are not replaced.

    It is worthless without its KEK, so the two are kept apart.
    """
    write_private(target, homes.render(homes.read_envelope(home)))


def open_backup(home: Path, backup: Path, secret: str) -> bytes:
    """The secrets in a backup. Raises CannotOpen; KekDestroyed when its KEK is gone."""
    sealed, expected = _read(backup), homes.read_envelope(home).name
    kek = keks.reopen(homes.folder(home), sealed.kek, secret)
    return envelope.open_(sealed, expected, kek)


def verify_backup(home: Path, backup: Path, secret: str, clock: Clock) -> None:
    """Read a backup back to the keys in it, and remember that it was.

    Raises CannotOpen when it does not open or is not of the envelope in force.
    """
    with _alone(home) as directory:
        if backup.read_text() != homes.render(homes.read_envelope(home)):
            raise CannotOpen("the backup is not of the envelope in force; make a new one")
        Keyring(open_backup(home, backup, secret))
        register = Register.read(directory)
        register.verified = Verified(_sha256(backup.read_text()), _now_s(clock))
        register.write(directory)


def found(home: Path, name: str, secret: str) -> Kek:
    """A KEK that was used here, by its id: to be destroyed. Raises UnknownKek.

    One that the register has as destroyed is found, too: a crash may have come between.
    """
    description = Register.read(homes.folder(home)).known.get(name)
    if description is None:
        raise UnknownKek(f"KEK {name} was never used in this folder")
    return keks.keeper_of(description, secret)


def destroy(home: Path, kek: Kek, clock: Clock) -> None:
    """End a KEK that another one has followed. What only it opens is lost, and that is the point.

    Refused, in this order: a KEK never used here, the one in force, no fresh verified backup. The
    register is written first: a crash after it leaves a KEK that is refused here, and asking again
    ends it.
    """
    with _alone(home) as directory:
        register, sealed = Register.read(directory), homes.read_envelope(home)
        name = kek_id(kek.describe())
        if name not in register.known:
            raise UnknownKek(f"KEK {name} was never used in this folder")
        if name == kek_id(sealed.kek):
            raise KekInUse(f"KEK {name} is in force; rotate first")
        _require_fresh(register, homes.render(sealed), _now_s(clock))
        register.destroyed.setdefault(name, _now_s(clock))
        register.write(directory)
        kek.destroy()


def _require_fresh(register: Register, current: str, now_s: int) -> None:
    verified = register.verified
    if verified is None or verified.sha256 != _sha256(current):
        raise BackupNotVerified("no backup of the envelope in force was verified")
    age_s = now_s - verified.at_s
    if not 0 <= age_s <= FRESH_S:
        raise BackupNotVerified(f"the backup was verified {age_s} s ago; {FRESH_S} s is the most")


def _read(backup: Path) -> Envelope:
    try:
        return Envelope.from_json(json.loads(backup.read_text()))
    except (ValueError, KeyError, TypeError):
        raise CannotOpen(f"{backup.name}: not a backup of an envelope") from None


@contextmanager
def _alone(home: Path) -> Iterator[Path]:
    """One rotation a folder at a time, whether or not a signer runs. The signer's folder."""
    directory = homes.folder(home)
    fd = os.open(directory / "keks.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(fd)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now_s(clock: Clock) -> int:
    return int(clock.now().timestamp())

"""OS users of the processes: the signer's own, and one that the worker and the API share.

Started as root, `moorage serve` gives each process the user it needs and hands over the folders
that this user works in. What the API's user may not even read is then the kernel's to say.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from custody.core.settings import Settings
from custody.keys import homes
from custody.keys.signer import PEERS_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
ROOT_UID = 0
PROBE = "import api.cli"
SIGNER_ONLY = ("AWS_", "MOORAGE_KEK_", "MOORAGE_PKCS11_")
"""Beginnings of the names of variables that open the envelope, or say where what opens it is."""


class NotSeparated(Exception):
    """Why all processes run as the user who started them; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class OsUser:
    """A user of this machine with its own primary group."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Users:
    signer: OsUser
    service: OsUser


def separate(settings: Settings) -> Users:
    """The two users, made where they are missing. Raises NotSeparated."""
    if os.geteuid() != ROOT_UID:
        raise NotSeparated("not started as root: the signer runs as the same OS user as the API")
    names = settings.signer_user, settings.service_user
    if "" in names or names[0] == names[1]:
        raise NotSeparated("MOORAGE_SIGNER_USER and MOORAGE_SERVICE_USER name no two users")
    users = Users(*(_known(name) or _made(name) for name in names))
    if ROOT_UID in (users.signer.uid, users.service.uid) or users.signer.uid == users.service.uid:
        raise NotSeparated(f"{names[0]} and {names[1]} are root, or one and the same user")
    for user in (users.signer, users.service):
        _require_python(user)
        _require_way(user, settings.home.resolve())
    return users


def _known(name: str) -> OsUser | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return OsUser(name, found.pw_uid, found.pw_gid)


def _made(name: str) -> OsUser:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise NotSeparated(f"there is no OS user {name}, and no useradd to make it with")
    command = [program, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false"]
    done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
    found = _known(name)
    if found is None:
        raise NotSeparated(f"useradd could not make {name}: {done.stderr.strip()}")
    return found


def _require_python(user: OsUser) -> None:
    """A Python under root's own home, for one, is nobody else's to run."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=False,
            user=user.uid, group=user.gid, extra_groups=[],
        )  # fmt: skip
    except OSError as error:
        raise NotSeparated(f"{user.name} cannot run {sys.executable}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2]
        raise NotSeparated(f"{user.name} cannot run {sys.executable} with our code: {said}")


def _require_way(user: OsUser, home: Path) -> None:
    """Home and what is above it must let the user through."""
    done = subprocess.run(
        ["/usr/bin/env", "test", "-x", str(home)], cwd="/", check=False,
        user=user.uid, group=user.gid, extra_groups=[],
    )  # fmt: skip
    if done.returncode != 0:
        raise NotSeparated(f"{user.name} cannot enter {home}")


def hand_over(settings: Settings, users: Users) -> None:
    """Give folders to who works in them. Run before each start: root's own commands write there.

    The signer's folder is its alone; the API's user may pass through the socket's folder and ask
    there, and may neither list nor replace what lies in it.
    """
    home = settings.home.resolve()
    _give(homes.folder(home), users.signer.uid, users.signer.gid)
    homes.folder(home).chmod(0o700)
    socket_folder = homes.socket_path(home).parent
    socket_folder.mkdir(exist_ok=True)
    os.chown(socket_folder, users.signer.uid, users.service.gid)
    socket_folder.chmod(0o2710)  # what is made in it belongs to the service's group
    settings.audit_folder.mkdir(exist_ok=True)
    _give(settings.audit_folder, users.service.uid, users.service.gid)
    for file in (settings.installation_file, *home.glob("*.key.json")):
        _give(file, users.service.uid, users.service.gid)
    if settings.database_url is None:
        # PostgreSQL's socket lies in its folder, which a group may be let into but not more.
        os.chown(settings.postgres_folder, -1, users.service.gid)
        settings.postgres_folder.chmod(0o750)


def _give(top: Path, uid: int, gid: int) -> None:
    """Owner of a file, or of a folder and all in it; nothing is followed out of it."""
    found = [top, *top.rglob("*")] if top.is_dir() else [top]
    for path in found:
        if path.exists() or path.is_symlink():
            os.chown(path, uid, gid, follow_symlinks=False)


def signer_environment(environment: Mapping[str, str], users: Users | None) -> Mapping[str, str]:
    """Whom the signer answers, besides its own user: the service, and root, who may all anyway."""
    if users is None:
        return environment
    return {**environment, PEERS_VARIABLE: f"{ROOT_UID},{users.service.uid}"}


def service_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would open the signer's envelope."""
    return {k: v for k, v in environment.items() if not k.startswith(SIGNER_ONLY)}

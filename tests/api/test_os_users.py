"""OS users apart: who may read and who may ask, as the kernel sees it. Property 43."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from api import os_users
from api.commands.serve import children
from api.os_users import NotSeparated, OsUser, Users
from custody.core.settings import Settings
from custody.keys import homes
from tests.custody.keys.vault_world import VaultWorld

USERS = Users(OsUser("signer", 65_531, 65_531), OsUser("service", 65_532, 65_532))
STRANGER = 65_533
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")

BECOME = """
import os, sys
def become(uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
"""
SIGNER = (
    BECOME
    + """
from custody.keys import mnemonic, signer
mnemonic.mnemonic_from_entropy(bytes(32))  # what it loads at first use may lie under root's home
become(int(sys.argv.pop(1)))
signer.main()
"""
)
# Each line is what a user tries; what the kernel said is printed.
TRIES = (
    BECOME
    + """
import pathlib, socket
run, folder = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
def ask():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(run / "signer.sock"))
        s.sendall(b'{"op":"status"}' + bytes([10]))
        return s.recv(9) == b'{"answer"'
tries = {
    "ask": ask,
    "list the socket's folder": lambda: os.listdir(run),
    "replace the socket": lambda: os.unlink(run / "signer.sock"),
    "list the signer's folder": lambda: os.listdir(folder),
    "read the envelope": lambda: (folder / "envelope.json").read_text(),
    "read the passphrase": lambda: (folder / "kek.passphrase").read_text(),
    "read the store": lambda: (folder / "store.db").read_bytes(),
    "read the signer's memory": lambda: open("/proc/" + sys.argv[4] + "/mem", "rb"),
}
become(int(sys.argv[1]))
for name, act in tries.items():
    try:
        print(name + ": " + ("done" if act() else "nothing"))
    except (PermissionError, ConnectionError) as error:
        print(name + ": " + type(error).__name__)
"""
)


@pytest.fixture
def home() -> Iterator[Path]:
    """Of a signer, in a folder that every user can get to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield VaultWorld(Path(folder)).home


def _settings(home: Path, **more: str) -> Settings:
    return Settings(home=home, DATABASE_URL="postgresql://nobody@/nothing", **more)  # type: ignore[call-arg, arg-type]


def _tried(uid: int, home: Path, signer: int) -> dict[str, str]:
    done = subprocess.run(
        [
            *(sys.executable, "-c", TRIES, str(uid), str(homes.socket_path(home).parent)),
            *(str(homes.folder(home)), str(signer)),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return dict(row.split(": ") for row in done.stdout.splitlines())


@pytest.mark.journey
@ROOT_ONLY
def test_service_may_ask_and_see_nothing(home: Path) -> None:
    home.chmod(0o755)
    os_users.hand_over(_settings(home), USERS)
    environment = os_users.signer_environment(os.environ, USERS)
    command = [sys.executable, "-c", SIGNER, str(USERS.signer.uid), "--home", str(home)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        service = _tried(USERS.service.uid, home, process.pid)
        assert service.pop("ask") == "done"
        assert len(service) == 7
        assert set(service.values()) == {"PermissionError"}
        stranger = _tried(STRANGER, home, process.pid)
        assert set(stranger.values()) == {"PermissionError"}
        root = _tried(0, home, process.pid)
        assert root["ask"] == root["read the envelope"] == "done"
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.unit
@ROOT_ONLY
def test_what_root_made_since_is_handed_over_too(home: Path) -> None:
    os_users.hand_over(_settings(home), USERS)
    envelope = homes.folder(home) / "envelope.json"
    os.chown(envelope, 0, 0)
    outside = home.parent / "outside"
    outside.write_text("not ours")
    (homes.folder(home) / "link").symlink_to(outside)
    os_users.hand_over(_settings(home), USERS)
    assert envelope.stat().st_uid == USERS.signer.uid
    assert outside.stat().st_uid == 0


@pytest.mark.unit
def test_users_apart_only_for_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotSeparated, match="not started as root"):
        os_users.separate(_settings(tmp_path))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("signer", "service", "why"),
    [
        ("", "moorage", "name no two users"),
        ("same", "same", "name no two users"),
        ("root", "nobody", "are root, or one and the same"),
    ],
)
def test_names_that_make_no_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: str, service: str, why: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    settings = _settings(tmp_path, signer_user=signer, service_user=service)
    with pytest.raises(NotSeparated, match=why):
        os_users.separate(settings)


@pytest.mark.unit
@ROOT_ONLY
def test_home_that_others_cannot_enter_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os_users, "_require_python", lambda _: None)
    tmp_path.chmod(0o700)
    settings = _settings(tmp_path, signer_user="daemon", service_user="nobody")
    with pytest.raises(NotSeparated, match="daemon cannot enter"):
        os_users.separate(settings)


@pytest.mark.unit
def test_each_child_gets_its_own_user_and_environment(tmp_path: Path) -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "x", "MOORAGE_KEK_PASSPHRASE_FILE": "/f", "PATH": "/"}
    made = {c.name: c for c in children(_settings(tmp_path), environment, USERS)}
    assert made["signer"].user == USERS.signer
    assert made["worker"].user == made["api"].user == USERS.service
    assert _of(made["signer"].environment) == {*environment, "MOORAGE_SIGNER_PEER_UIDS"}
    for name in ("worker", "api"):
        assert _of(made[name].environment) == {"PATH"}


def _of(environment: Mapping[str, str] | None) -> set[str]:
    assert environment is not None
    return set(environment)

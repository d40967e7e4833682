"""`moorage kek`: rotation, a verified backup, the end of a KEK, shares. Errors are one line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands.keks import app
from custody.keys import homes
from tests.canary import CANARY
from tests.custody.keys.vault_world import VaultWorld

pytestmark = pytest.mark.unit


class Desk:
    """The commands on a signer's folder."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = VaultWorld(home)
        self._monkeypatch = monkeypatch
        self.use(home)

    def use(self, home: Path) -> None:
        self._monkeypatch.setenv("MOORAGE_HOME", str(home))

    def run(self, *arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert CANARY.leaks(result.output) == []
        return result.exit_code, result.output.strip()

    def states(self) -> list[str]:
        return [" ".join(line.split()[1:]) for line in self.run("list")[1].splitlines()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path / "home", monkeypatch)


def test_the_life_of_a_kek(desk: Desk, tmp_path: Path) -> None:
    """Property 42."""
    old = desk.run("list")[1].split()[0]
    assert desk.run("back-up", tmp_path / "old")[0] == 0
    assert desk.run("rotate", "--to", "local-scrypt")[0] == 0
    assert desk.states() == ["local-scrypt kept", "local-scrypt in force"]
    code, says = desk.run("destroy", old, "--confirm", old)
    assert (code, says.split(":")[0]) == (1, "BackupNotVerified")
    assert desk.run("verify-backup", tmp_path / "old")[0] == 1
    assert desk.run("back-up", tmp_path / "new")[0] == 0
    assert desk.run("verify-backup", tmp_path / "new")[0] == 0
    assert desk.run("destroy", old, "--confirm", "other")[0] == 1
    assert desk.run("destroy", old, "--confirm", old)[0] == 0
    assert desk.states() == ["local-scrypt destroyed", "local-scrypt in force"]
    home = desk.world.home
    again = homes.open_desk(home, homes.read_secret(home), desk.world.clock)
    assert again.account_xpub(0) == desk.world.made.account_xpub


def test_bad_input_is_one_line_and_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    before = (homes.folder(desk.world.home) / "envelope.json").read_bytes()
    (tmp_path / "open").write_text("anybody may read this")
    for arguments, says in (
        (("rotate", "--to", "paper"), "kind: must be one of"),
        (("rotate", "--to", "pkcs11"), "token: must name"),
        (("rotate", "--to", "local-scrypt", "--secret-file", tmp_path / "open"), "0600"),
        (("destroy", "feed", "--confirm", "feed"), "was never used"),
        (("verify-backup", tmp_path / "none"), "No such file"),
        (("split", tmp_path / "shares", "--threshold", 3, "--count", 2), "threshold, count"),
        (("restore", tmp_path / "open", "--store", "x", "--secret-file", "y"), "not a share"),
    ):
        code, output = desk.run(*arguments)
        assert code == 1
        assert says in output
        assert len(output.splitlines()) == 1
    assert (homes.folder(desk.world.home) / "envelope.json").read_bytes() == before


def test_shares_make_the_signer_anew(desk: Desk, tmp_path: Path) -> None:
    """Property 44."""
    folder, passphrase = tmp_path / "shares", tmp_path / "passphrase"
    assert desk.run("split", folder, "--threshold", 2, "--count", 3)[0] == 0
    files = sorted(folder.iterdir())
    passphrase.touch(0o600)
    passphrase.write_text("another passphrase\n")
    desk.world.open().sign(desk.world.request(desk.world.payout(), nonce=0))
    store = tmp_path / "store.copy"
    assert desk.run("back-up-store", store)[0] == 0
    assert desk.run("back-up-store", store)[0] == 1
    desk.use(tmp_path / "empty")
    rest = ("--store", store, "--secret-file", passphrase)
    assert desk.run("restore", files[0], *rest)[0] == 1
    assert desk.run("restore", *files[1:], *rest) == (0, desk.world.made.account_xpub)
    assert desk.run("restore", *files[1:], *rest)[0] == 1
    again = homes.open_desk(tmp_path / "empty", "another passphrase", desk.world.clock)
    assert again.status()["frozen_at"] is not None

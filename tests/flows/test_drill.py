"""Property 44: keys from k of n shares, the database from its backup, an empty machine."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.commands import backup as backups
from api.commands import doctor, drill
from api.commands.drill import Lifter
from api.commands.drill_checks import Row
from api.embedded import database_urls
from custody.audit import published
from custody.audit.note import LogKey
from custody.core import embedded
from custody.core.errors import Conflict, InvalidInput
from custody.core.settings import Settings
from custody.keys import homes, shares
from custody.keys.people import PersonKey
from custody.keys.shares import SharesRefused
from scripts.crash_matrix.harbour import CHAIN_ID, Harbour, found
from scripts.crash_matrix.service import open_service
from tests.flows.harbours import Copy, arrived, copied, paying

pytestmark = pytest.mark.journey

USDC = 10**6
THRESHOLD, COUNT = 3, 5


@pytest.fixture(scope="module")
def harbour() -> Iterator[Harbour]:
    made = found()
    yield made
    made.close()


@pytest.fixture
def copy(harbour: Harbour) -> Iterator[Copy]:
    with copied(harbour, "drill") as made:
        yield made


def split(copy: Copy, folder: Path) -> list[Path]:
    """Share files, as `moorage kek split` writes them."""
    plain = homes.open_secrets(copy.home, homes.read_secret(copy.home))
    files = [folder / f"share-{n}.json" for n in range(COUNT)]
    for share, file in zip(shares.split(plain, THRESHOLD, COUNT), files, strict=True):
        share.write(file)
    return files


def secret(folder: Path) -> Path:
    file = folder / "passphrase"
    file.touch(0o600)
    file.write_text("correct-horse-of-a-new-machine\n")
    return file


@pytest.fixture
def empty(copy: Copy) -> Iterator[Settings]:
    """A home folder that does not exist yet, with a database server of its own."""
    home = copy.home.parent / "empty"
    settings = Settings(home=home, DATABASE_URL=None)  # type: ignore[call-arg]
    yield settings
    if home.exists():
        embedded.stop(settings.postgres_folder)


def wipe(copy: Copy) -> None:
    shutil.rmtree(copy.home)
    copy.drop_database(copy.database)


def failed(rows: list[Row]) -> set[str]:
    return {row.name for row in rows if not row.ok}


async def publish(settings: Settings, url: str) -> tuple[int, int]:
    """The job that writes the log; the published sizes before and after it."""
    async with open_service(settings.home, url) as service:
        key = LogKey.parse(service.parts.installation.log_vkey)
        before = published.head(settings.audit_folder, key)
        await service.step(["audit.log"])
        after = published.head(settings.audit_folder, key)
    return (0 if before is None else before.size), (0 if after is None else after.size)


def test_an_empty_machine_takes_over(copy: Copy, empty: Settings, tmp_path: Path) -> None:
    """Rebuilt, compared, tried with a transfer of nothing; nothing is paid again, and it pays."""
    with copy.signing():
        paying(copy, ["first", "second"], 20 * USDC)
        asyncio.run(publish(copy.settings, copy.settings.database_url or ""))
        files = split(copy, tmp_path)
        backup = backups.make(copy.settings, tmp_path / "backup").folder
    exchange_key = (copy.home / "exchange.key.json").read_bytes()
    wipe(copy)
    before, word = [arrived(copy, name) for name in ("first", "second")], secret(tmp_path)

    rows = drill.run(empty, backup, files[2:], word, None, send=False)
    assert failed(rows) == {"test transfer"}
    assert "frozen since" in rows[-1].detail
    with pytest.raises(Conflict, match="empty home"):
        drill.run(empty, backup, files[:3], word, None, send=False)

    stranger = Lifter(copy.harbour.person, PersonKey.new())
    refused = drill.run(empty, backup, [], word, stranger, send=True)[-1]
    assert (refused.ok, "signature over this freeze" in refused.detail) == (False, True)
    copy.anvil.rpc("evm_setIntervalMining", 1)
    lifter = Lifter(copy.harbour.person, copy.harbour.person_key)
    assert failed(drill.run(empty, backup, [], word, lifter, send=False)) == set()
    # What was signed and not sent is known to the signer alone, and doctor says so.
    with copy.signing(empty.home):
        assert asyncio.run(doctor.run(empty, repair=True)).left == 0
    rows = drill.run(empty, backup, [], word, lifter, send=True)
    assert failed(rows) == set(), rows
    (empty.home / "exchange.key.json").write_bytes(exchange_key)
    with copy.signing(empty.home):
        url = database_urls(empty, start=False).app
        paying(copy, ["third"], 20 * USDC, home=empty.home, url=url)
        before_it, after_it = asyncio.run(publish(empty, url))
        # The folder came with the backup, and what happened since is published after it.
        assert backups.read(backup).size == before_it < after_it
    assert arrived(copy, "third") > 0
    assert [arrived(copy, name) for name in ("first", "second")] == before


def test_what_came_after_the_backup_is_named(copy: Copy, empty: Settings, tmp_path: Path) -> None:
    """The chain knows more than database and signer's store together: the wallet signs nothing."""
    with copy.signing():
        files = split(copy, tmp_path)
        backup = backups.make(copy.settings, tmp_path / "backup").folder
        paying(copy, ["late"], 20 * USDC)
    wipe(copy)
    lifter = Lifter(copy.harbour.person, copy.harbour.person_key)
    rows = drill.run(empty, backup, files[:3], secret(tmp_path), lifter, send=True)
    assert failed(rows) == {f"chain {CHAIN_ID}", "test transfer"}
    told = {row.name: row.detail for row in rows}
    assert "foreign_use" in told[f"chain {CHAIN_ID}"]
    assert told["test transfer"].startswith("not done")


def test_what_is_too_little_or_changed_makes_nothing(
    copy: Copy, empty: Settings, tmp_path: Path
) -> None:
    """Refused by name, and the home stays empty: k - 1 shares, a share twice, a changed backup."""
    files, word = split(copy, tmp_path), secret(tmp_path)
    backup = backups.make(copy.settings, tmp_path / "backup").folder
    few = files[: THRESHOLD - 1]
    for given, said in ((few, "3 are needed"), ([*few, few[0]], "given twice")):
        with pytest.raises(SharesRefused, match=said):
            drill.run(empty, backup, given, word, None, send=False)
    with (backup / backups.DATABASE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(InvalidInput, match=backups.DATABASE):
        drill.run(empty, backup, files, word, None, send=False)
    (backup / backups.MANIFEST).unlink()
    with pytest.raises(InvalidInput, match="back-up"):
        drill.run(empty, backup, files, word, None, send=False)
    assert not empty.home.exists()

"""Every KEK alike: wraps, opens only what is its own, is found again, is destroyed. Property 42."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custody.core.clock import FixedClock
from custody.keys import ceremony, envelope, homes, keks, rotation
from custody.keys.client import SignerClient
from custody.keys.envelope import Envelope, KeyName
from custody.keys.people import PersonKey
from custody.keys.rotation import BackupNotVerified, KekInUse, UnknownKek
from custody.keys.vault import CannotOpen, Kek, KekDestroyed
from tests.custody.keys.keepers import PIN, TOKEN, Keeper
from tests.custody.keys.test_signer_process import running
from tests.custody.keys.vault_world import NOW, ORIGIN, PASSPHRASE, VaultWorld

NAME = KeyName("ten_a", "root", 1)
OTHERS = (KeyName("ten_b", "root", 1), KeyName("ten_a", "log", 1), KeyName("ten_a", "root", 2))


class Home:
    """A signer's folder whose envelope is under a KEK of the keeper."""

    def __init__(self, home: Path, keeper: Keeper) -> None:
        self.world = VaultWorld(home)
        self.home, self.keeper, self.clock = home, keeper, FixedClock(NOW)
        self.kek = keeper.make()
        first = keks.reopen(homes.folder(home), homes.read_envelope(home).kek, PASSPHRASE)
        rotation.rotate(home, first, self.kek)
        (homes.folder(home) / "kek.passphrase").write_text(keeper.secret + "\n")

    def xpub(self) -> str:
        return homes.open_desk(self.home, self.keeper.secret, self.clock).account_xpub(0)

    def back_up(self, name: str) -> Path:
        path = self.home / name
        rotation.back_up(self.home, path)
        return path

    def verify(self, backup: Path) -> None:
        rotation.verify_backup(self.home, backup, self.keeper.secret, self.clock)

    def open(self, backup: Path) -> bytes:
        return rotation.open_backup(self.home, backup, self.keeper.secret)

    def rotate(self) -> Kek:
        """The KEK that was in force before."""
        old, self.kek = self.kek, self.keeper.make()
        rotation.rotate(self.home, old, self.kek)
        return old


@pytest.fixture
def home(tmp_path: Path, keeper: Keeper) -> Home:
    return Home(tmp_path, keeper)


def test_what_is_wrapped_opens_under_the_same_names_alone(keeper: Keeper) -> None:
    kek = keeper.make()
    sealed = envelope.close(NAME, b"secrets", kek)
    assert envelope.open_(sealed, NAME, kek) == b"secrets"
    for other in OTHERS:
        with pytest.raises(CannotOpen):
            envelope.open_(replace(sealed, name=other), other, kek)
    blob = sealed.wrapped_key
    for spoiled in (blob[:-1] + bytes([blob[-1] ^ 1]), blob[:20], b""):
        with pytest.raises(CannotOpen):
            envelope.open_(replace(sealed, wrapped_key=spoiled), NAME, kek)


def test_the_keeper_itself_binds_a_data_key_to_its_names(keeper: Keeper) -> None:
    """Without the second layer, which binds the secrets: a data key is not moved either."""
    kek = keeper.make()
    blob = kek.wrap(b"k" * 32, NAME.associated("data-key"))
    assert kek.unwrap(blob, NAME.associated("data-key")) == b"k" * 32
    for other in OTHERS:
        with pytest.raises(CannotOpen):
            kek.unwrap(blob, other.associated("data-key"))


def test_blobs_of_two_tenants_do_not_change_places(keeper: Keeper) -> None:
    """Property 42: the same KEK wrapped both, and still neither opens as the other."""
    kek, theirs = keeper.make(), KeyName("ten_b", "root", 1)
    mine, other = envelope.close(NAME, b"mine", kek), envelope.close(theirs, b"theirs", kek)
    for mixed in (
        replace(mine, wrapped_key=other.wrapped_key),
        replace(mine, wrapped_key=other.wrapped_key, sealed=other.sealed),
        replace(mine, sealed=other.sealed),
    ):
        with pytest.raises(CannotOpen):
            envelope.open_(mixed, NAME, kek)


def test_a_kek_is_found_again_by_what_the_envelope_says(keeper: Keeper, tmp_path: Path) -> None:
    sealed = envelope.close(NAME, b"secrets", keeper.make())
    written = Envelope.from_json(json.loads(json.dumps(sealed.to_json())))
    again = keks.reopen(tmp_path, written.kek, keeper.secret)
    assert envelope.open_(written, NAME, again) == b"secrets"
    assert written.kek["kind"] == keeper.kind
    if keeper.secret:
        assert keeper.secret not in json.dumps(written.to_json()) + repr(again)


def test_another_kek_of_the_same_keeper_does_not_open(keeper: Keeper) -> None:
    sealed = envelope.close(NAME, b"secrets", keeper.make())
    with pytest.raises(CannotOpen):
        envelope.open_(sealed, NAME, keeper.make())


def test_rotation_while_the_service_runs(home: Home) -> None:
    """Property 42: the signer answers all the while, and starts again under the new KEK."""

    async def ask(times: int) -> set[str]:
        client = SignerClient(homes.socket_path(home.home))
        return {await client.account_xpub(0) for _ in range(times)}

    async def rotated() -> set[str]:
        asking = asyncio.create_task(ask(50))
        await asyncio.to_thread(home.rotate)
        return await asking | await ask(1)

    with running(home.home):
        seen = asyncio.run(rotated())
    with running(home.home):
        seen |= asyncio.run(ask(1))
    assert len(seen) == 1


def test_an_old_backup_opens_while_its_kek_is_kept(home: Home) -> None:
    old_backup = home.back_up("old")
    before = home.open(old_backup)
    home.rotate()
    assert home.open(old_backup) == before == home.open(home.back_up("new"))
    sealed = json.loads(old_backup.read_text())["sealed"]
    assert homes.read_envelope(home.home).to_json()["sealed"] == sealed


def test_a_kek_is_destroyed_only_after_a_fresh_backup_was_read_back(home: Home) -> None:
    """Property 42: each refusal changes nothing; then old backups fail by name, new ones open."""
    old_backup = home.back_up("old")
    with pytest.raises(KekInUse):
        rotation.destroy(home.home, home.kek, home.clock)
    home.verify(old_backup)
    old, xpub = home.rotate(), home.xpub()
    with pytest.raises(UnknownKek):
        rotation.destroy(home.home, home.keeper.make(), home.clock)
    with pytest.raises(BackupNotVerified, match="in force"):
        rotation.destroy(home.home, old, home.clock)
    with pytest.raises(CannotOpen, match="make a new one"):
        home.verify(old_backup)
    new_backup = home.back_up("new")
    home.verify(new_backup)
    home.clock.advance(rotation.FRESH_S + 1)
    with pytest.raises(BackupNotVerified, match="ago"):
        rotation.destroy(home.home, old, home.clock)
    assert home.open(old_backup)
    home.verify(new_backup)
    rotation.destroy(home.home, old, home.clock)
    with pytest.raises(KekDestroyed):
        home.open(old_backup)
    assert home.open(new_backup)
    assert home.xpub() == xpub
    rotation.destroy(home.home, old, home.clock)


def test_a_crash_between_register_and_keeper_is_gone_on_with(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_backup = home.back_up("old")
    old = home.rotate()
    home.verify(home.back_up("new"))

    def dies(self: Kek) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(old), "destroy", dies)
        with pytest.raises(KeyboardInterrupt):
            rotation.destroy(home.home, old, home.clock)
    with pytest.raises(KekDestroyed):
        home.open(old_backup)
    rotation.destroy(home.home, old, home.clock)


def test_a_rotation_that_cannot_open_changes_nothing(home: Home) -> None:
    before = (homes.folder(home.home) / "envelope.json").read_bytes()
    with pytest.raises(CannotOpen):
        rotation.rotate(home.home, home.keeper.make(), home.keeper.make())
    assert (homes.folder(home.home) / "envelope.json").read_bytes() == before


def test_a_new_kek_that_cannot_open_what_it_wrapped_does_not_take_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out before the envelope is replaced: afterwards nothing would open it."""
    before = (homes.folder(home.home) / "envelope.json").read_bytes()
    new = home.keeper.make()
    monkeypatch.setattr(type(new), "wrap", lambda *_: b"w" * 60)
    with pytest.raises(CannotOpen):
        rotation.rotate(home.home, home.kek, new)
    assert (homes.folder(home.home) / "envelope.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["pkcs11", "aws-kms"])
def test_a_keeper_without_its_key_says_so(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The register may be lost with the machine; the module and KMS know by themselves."""
    request.getfixturevalue({"pkcs11": "softhsm", "aws-kms": "kms"}[kind])
    kek: Kek = _made(kind, request)
    sealed = envelope.close(NAME, b"secrets", kek)
    kek.destroy()
    with pytest.raises(KekDestroyed):
        envelope.open_(sealed, NAME, keks.reopen(tmp_path, sealed.kek, PIN))


def _made(kind: str, request: pytest.FixtureRequest) -> Kek:
    if kind == "aws-kms":
        from custody.keys.kek_aws import AwsKek

        return AwsKek.create()
    from custody.keys.kek_pkcs11 import Module, Pkcs11Kek

    return Pkcs11Kek.create(Module(request.getfixturevalue("softhsm"), TOKEN, PIN))


def test_a_modules_key_never_leaves_it(softhsm: str) -> None:
    from pkcs11 import Attribute, PKCS11Error

    from custody.keys.kek_pkcs11 import Module, Pkcs11Kek

    module = Module(softhsm, TOKEN, PIN)
    kek = Pkcs11Kek.create(module)
    with module.session() as session:
        (key,) = session.get_objects({Attribute.LABEL: kek.label})
        assert key[Attribute.SENSITIVE]
        assert not key[Attribute.EXTRACTABLE]
        assert key[Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(PKCS11Error):
            key[Attribute.VALUE]
    with pytest.raises(CannotOpen) as caught:
        Pkcs11Kek(kek.label, Module(softhsm, TOKEN, PIN + "0")).wrap(b"k" * 32, b"")
    assert PIN not in str(caught.value) + repr(kek)


def test_a_ceremony_under_the_keepers_kek(keeper: Keeper, tmp_path: Path) -> None:
    """The passphrase's file holds the PIN; the seed is never under anything else."""
    world = VaultWorld(tmp_path / "other")
    made = ceremony.create(
        tmp_path,
        passphrase=keeper.secret,
        tenant_id=world.tenant,
        authority_public_key=PersonKey.new().public_key,
        people=[],
        log_origin=ORIGIN,
        kek=keeper.make(),
    )
    desk: Any = homes.open_desk(tmp_path, homes.read_secret(tmp_path), FixedClock(NOW))
    assert desk.account_xpub(0) == made.account_xpub

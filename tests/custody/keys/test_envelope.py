"""Envelope and KEK: what opens, what does not. Property 42."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from custody.core.errors import Conflict
from custody.keys import ceremony, envelope, homes, rotation
from custody.keys.envelope import Envelope, KeyName
from custody.keys.store import Store
from custody.keys.vault import CannotOpen, LocalKek
from tests.custody.keys.vault_world import ORIGIN, PASSPHRASE, VaultWorld

pytestmark = pytest.mark.unit

NAME = KeyName("ten_a", "root", 1)
KEK = LocalKek.create("one", 2**10)
SEALED = envelope.close(NAME, b"secrets", KEK)


def test_round_trip_through_json() -> None:
    again = Envelope.from_json(json.loads(json.dumps(SEALED.to_json())))
    assert envelope.open_(again, NAME, LocalKek.reopen("one", again.kek)) == b"secrets"


@pytest.mark.parametrize(
    "other", [KeyName("ten_b", "root", 1), KeyName("ten_a", "log", 1), KeyName("ten_a", "root", 2)]
)
def test_other_names_do_not_open(other: KeyName) -> None:
    """Property 42: neither by asking under another name nor by relabelling the blob."""
    with pytest.raises(CannotOpen):
        envelope.open_(SEALED, other, KEK)
    with pytest.raises(CannotOpen):
        envelope.open_(replace(SEALED, name=other), other, KEK)


def test_a_flipped_bit_does_not_open() -> None:
    for spoiled in (
        replace(SEALED, sealed=SEALED.sealed[:-1] + bytes([SEALED.sealed[-1] ^ 1])),
        replace(SEALED, wrapped_key=bytes([SEALED.wrapped_key[0] ^ 1]) + SEALED.wrapped_key[1:]),
    ):
        with pytest.raises(CannotOpen):
            envelope.open_(spoiled, NAME, KEK)


def test_a_swapped_ciphertext_does_not_open() -> None:
    """Property 42."""
    other = envelope.close(NAME, b"other secrets", KEK)
    with pytest.raises(CannotOpen):
        envelope.open_(replace(SEALED, sealed=other.sealed), NAME, KEK)


def test_rewrap_keeps_the_ciphertext_and_retires_the_old_kek() -> None:
    """Property 42: rotation re-wraps only; the old KEK no longer opens the new envelope."""
    new = LocalKek.create("two", 2**10)
    rewrapped = envelope.rewrap(SEALED, KEK, new)
    assert rewrapped.sealed == SEALED.sealed
    assert envelope.open_(rewrapped, NAME, new) == b"secrets"
    assert envelope.open_(SEALED, NAME, KEK) == b"secrets"
    with pytest.raises(CannotOpen):
        envelope.open_(rewrapped, NAME, KEK)


def test_wrong_passphrase_does_not_open(world: VaultWorld) -> None:
    with pytest.raises(CannotOpen) as caught:
        homes.open_desk(world.home, "wrong", world.clock)
    assert PASSPHRASE not in str(caught.value)


def test_a_changed_passphrase_opens_the_same_keys(world: VaultWorld) -> None:
    before = world.open().account_xpub(0)
    rotation.change_passphrase(world.home, PASSPHRASE, "another one")
    with pytest.raises(CannotOpen):
        world.open()
    assert homes.open_desk(world.home, "another one", world.clock).account_xpub(0) == before


def test_another_installations_envelope_does_not_open(world: VaultWorld, tmp_path: Path) -> None:
    """Property 42: same passphrase, another tenant's blob."""
    other = VaultWorld(tmp_path / "other")
    homes.write_envelope(homes.folder(world.home), homes.read_envelope(other.home))
    with pytest.raises(CannotOpen):
        world.open()


def test_a_rolled_back_envelope_does_not_open(world: VaultWorld) -> None:
    """Property 42: the store says which version belongs here."""
    store = Store(homes.folder(world.home) / "store.db")
    with store.transaction():
        store.set_switch(homes.VERSION_SWITCH, "2")
    with pytest.raises(CannotOpen):
        world.open()


def test_secrets_are_private_and_never_overwritten(world: VaultWorld) -> None:
    folder = homes.folder(world.home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("envelope.json", "kek.passphrase"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    with pytest.raises(Conflict):
        ceremony.create(
            world.home,
            passphrase="x",
            tenant_id=world.tenant,
            authority_public_key=world.authority.public_key,
            people=[],
            log_origin=ORIGIN,
        )
    (folder / "kek.passphrase").chmod(0o640)
    with pytest.raises(PermissionError):
        homes.read_passphrase(world.home)

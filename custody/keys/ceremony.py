"""The ceremony: first secrets, first people, and, once contracts have addresses, first policy.

`create` makes a folder that is whole or not there; `install_policy` runs while no signer does.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from custody.core.clock import Clock, SystemClock, iso_us
from custody.core.errors import Conflict
from custody.core.ids import format_id, parse_id
from custody.keys import envelope, homes
from custody.keys.envelope import KeyName
from custody.keys.keyring import Keyring, new_secrets
from custody.keys.people import write_private
from custody.keys.stop import FROZEN
from custody.keys.store import OWNER_SWITCH, Store, copy_store
from custody.keys.vault import SCRYPT_N, CannotOpen, Kek, LocalKek

OPERATIONS = {
    "treasury": "2/0",
    "payout": "2/1",
    "gas": "2/2",
    "allocator": "2/3",
    "anchorer": "2/4",
    "guardian": "2/5",
}
"""Operational wallets: role -> `branch/index` below the tenant's account."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person as the ceremony enrols them; `public_key` is 32 bytes (Ed25519)."""

    person_id: UUID
    role: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class CeremonyResult:
    """What the rest of the installation may know; nothing secret."""

    tenant_id: UUID
    account_index: int
    account_xpub: str
    addresses: Mapping[str, str]
    log_vkey: str
    authority_public_key: bytes


def create(
    home: Path,
    *,
    passphrase: str,
    tenant_id: UUID,
    authority_public_key: bytes,
    people: Iterable[Enrolment],
    log_origin: str,
    keep_passphrase: bool = True,
    scrypt_n: int = SCRYPT_N,
    kek: Kek | None = None,
) -> CeremonyResult:
    """Make `<home>/signer`. Raises Conflict if it exists: secrets are never overwritten.

    The passphrase is kept in a file of mode 0600 for the embedded mode; an installation that
    hands it over otherwise says `keep_passphrase=False`. Given a `kek` (of a module or of AWS KMS)
    the envelope is under that one, and the passphrase is the module's PIN or empty.
    """
    _check_authority(authority_public_key)
    plain = new_secrets(authority_public_key, log_origin)
    owner = format_id("tenant", tenant_id)
    with _making(home) as work:
        _fill_store(work, owner, people)
        name = KeyName(owner, homes.KEY_ID, 1)
        _seal(work, name, plain, kek or LocalKek.create(passphrase, scrypt_n))
        _keep(work, passphrase if keep_passphrase else None)
    return _result(Keyring(plain), tenant_id)


def restore(
    home: Path,
    plain: bytes,
    *,
    passphrase: str,
    store: Path,
    clock: Clock,
    keep_passphrase: bool = True,
    scrypt_n: int = SCRYPT_N,
    kek: Kek | None = None,
) -> CeremonyResult:
    """Make `<home>/signer` on an empty machine from secrets (`shares.combine`) and a copy of the
    signer's store. Raises Conflict if it exists, CannotOpen if `store` is not a signer's.

    It starts frozen: the copy may be older than the last signature, and a signer that has forgotten
    one could give the same payout another nonce. People compare with the chain, then lift it.
    """
    with _making(home) as work:
        name, tenant_id = _copy_store(store, work, iso_us(clock.now()))
        _seal(work, name, plain, kek or LocalKek.create(passphrase, scrypt_n))
        _keep(work, passphrase if keep_passphrase else None)
    return _result(Keyring(plain), tenant_id)


def install_policy(
    home: Path,
    signed: Mapping[str, Any],
    *,
    passphrase: str | None = None,
    clock: Clock | None = None,
) -> str:
    """Give the signer's store a signed policy while no signer runs; its hash.

    A running signer takes it by `SignerClient.load_policy`. Raises Refusal, CannotOpen, SignerBusy.
    """
    with homes.locked(homes.folder(home)):
        secret = homes.read_secret(home) if passphrase is None else passphrase
        return homes.open_desk(home, secret, clock or SystemClock()).load_policy(dict(signed))


def _check_authority(public_key: bytes) -> None:
    if len(public_key) != 32:
        raise ValueError("authority_public_key: must be 32 bytes (Ed25519)")


@contextmanager
def _making(home: Path) -> Iterator[Path]:
    """A folder that takes its place, whole, when the block ends."""
    final = homes.folder(home)
    if final.exists():
        raise Conflict(f"{final} exists; a ceremony never overwrites secrets")
    final.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="signer.making.", dir=final.parent))
    try:
        yield work
        work.rename(final)
    except BaseException:
        shutil.rmtree(work)
        raise


def _seal(work: Path, name: KeyName, plain: bytes, kek: Kek) -> None:
    homes.write_envelope(work, envelope.close(name, plain, kek))


def _keep(work: Path, passphrase: str | None) -> None:
    if passphrase is not None:
        write_private(work / "kek.passphrase", passphrase + "\n")


def _copy_store(source: Path, work: Path, now: str) -> tuple[KeyName, UUID]:
    """A frozen copy of a signer's store; what its envelope is bound to, and the founding tenant."""
    try:
        copy_store(source, work / "store.db")
    except sqlite3.Error:
        raise CannotOpen(f"{source.name}: not a store that can be read") from None
    store = Store(work / "store.db")
    owner, version = store.switch(OWNER_SWITCH), store.switch(homes.VERSION_SWITCH)
    if owner is None or version is None:
        raise CannotOpen(f"{source.name}: not the store of a signer")
    with store.transaction():
        store.set_switch(FROZEN, now)
    store.close()
    return KeyName(owner, homes.KEY_ID, int(version)), parse_id("tenant", owner)


def _fill_store(work: Path, owner: str, people: Iterable[Enrolment]) -> None:
    store = Store(work / "store.db")
    with store.transaction():
        store.set_switch(OWNER_SWITCH, owner)
        store.set_switch(homes.VERSION_SWITCH, "1")
        store.set_tenant(owner, 0, 0)
        for p in people:
            store.add_person(owner, format_id("person", p.person_id), p.role, p.public_key)
    store.close()


def _result(keyring: Keyring, tenant_id: UUID) -> CeremonyResult:
    addresses = {role: keyring.address(0, path) for role, path in OPERATIONS.items()}
    return CeremonyResult(
        tenant_id,
        0,
        keyring.account_xpub(0),
        addresses,
        keyring.log_vkey,
        keyring.authority,
    )

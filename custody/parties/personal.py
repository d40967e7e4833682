"""Personal data: one table, each row sealed with a key of its person; the log has commitments only.

Erasing the key erases the person. The salt of every commitment lies inside the sealed row, so a
commitment in the log then says nothing about anyone, and every proof over it stays valid.

Other texts that can hold personal data (the memos of transfers) are sealed with the same key, and
so end with it.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custody.audit import log
from custody.audit.commit import commitment, new_salt
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput
from custody.core.ids import format_id
from custody.core.serialization import dumps, loads

NONCE_BYTES = 12
FIELDS = ("name", "email", "country")
VALUE_MAX = 256

_KEY = "SELECT key FROM personal_keys WHERE tenant_id = :tenant AND subject_id = :subject"
_NEW_KEY = """
INSERT INTO personal_keys (tenant_id, subject_id, key, created_at)
VALUES (:tenant, :subject, :key, :at) ON CONFLICT DO NOTHING
"""
_STORE = """
INSERT INTO personal_data (tenant_id, subject_id, sealed, updated_at)
VALUES (:tenant, :subject, :sealed, :at)
ON CONFLICT (tenant_id, subject_id) DO UPDATE SET sealed = :sealed, updated_at = :at
"""


def aad(domain: bytes, *owners: UUID) -> bytes:
    """Binds a sealed row to what it is of: swapped rows do not open."""
    return domain + b"".join(owner.bytes for owner in owners)


def seal(key: bytes, data: bytes, bound_to: bytes) -> bytes:
    """Nonce and AES-GCM box."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Inverse of `seal`. Raises InvalidTag for another key, another place or changed bytes."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)


def key_id(key: bytes) -> bytes:
    """Names a key and says nothing about it: 256 random bits cannot be guessed."""
    return hashlib.sha256(b"moorage.key/1\n" + key).digest()


def keyed(key: bytes, digest: bytes) -> bytes:
    """A digest of what holds personal data, in a form that is no help in guessing it.

    Requires a digest of fixed length; without the key nobody can tell whether a guess is right.
    """
    return hmac.new(key, b"moorage.keyed/1\n" + digest, hashlib.sha256).digest()


async def key_of(s: WriteSession, tenant_id: UUID, subject_id: UUID, *, at: datetime) -> bytes:
    """The subject's key, made now if there is none (or none any more).

    Raises Conflict when the subject is erased at this very moment.
    """
    keys = {"tenant": tenant_id, "subject": subject_id}
    await s.execute(_NEW_KEY, {**keys, "key": AESGCM.generate_key(256), "at": at})
    key = await s.scalar(_KEY, keys)
    if key is None:
        raise Conflict("the person is being erased", subject=_subject(subject_id))
    return bytes(key)


def _bound_to(tenant_id: UUID, subject_id: UUID) -> bytes:
    return aad(b"moorage.personal/1", tenant_id, subject_id)


def _subject(subject_id: UUID) -> str:
    return format_id("customer", subject_id)


def _check(values: Mapping[str, str]) -> None:
    for field, value in values.items():
        if field not in FIELDS:
            raise InvalidInput(field, f"must be one of {', '.join(FIELDS)}")
        if not 1 <= len(value) <= VALUE_MAX:
            raise InvalidInput(field, f"must have 1 to {VALUE_MAX} characters")


async def store(
    s: WriteSession, tenant_id: UUID, subject_id: UUID, values: Mapping[str, str], *, at: datetime
) -> dict[str, str]:
    """Seal `values` for the subject; logs and answers the commitment (hex) of each field."""
    _check(values)
    key = await key_of(s, tenant_id, subject_id, at=at)
    salted = {field: {"salt": new_salt().hex(), "value": value} for field, value in values.items()}
    sealed = seal(key, dumps(salted), _bound_to(tenant_id, subject_id))
    params = {"tenant": tenant_id, "subject": subject_id, "sealed": sealed, "at": at}
    await s.execute(_STORE, params)
    commitments = {f: commitment(bytes.fromhex(v["salt"]), v["value"]) for f, v in salted.items()}
    data: dict[str, Json] = {"subject": _subject(subject_id), "commitments": commitments}
    await log.append(s, tenant_id, "personal.stored", data, at=at)
    return commitments


async def load(s: ReadSession, tenant_id: UUID, subject_id: UUID) -> dict[str, str] | None:
    """The fields in clear; None when there are none or the person was erased."""
    salted = await _opened(s, tenant_id, subject_id)
    if salted is None:
        return None
    return {field: str(entry["value"]) for field, entry in salted.items()}


async def disclose(
    s: ReadSession, tenant_id: UUID, subject_id: UUID
) -> dict[str, tuple[bytes, str]] | None:
    """Salt and value of each field: who is given them can open its commitment in the log.

    None when there are none or the person was erased.
    """
    salted = await _opened(s, tenant_id, subject_id)
    if salted is None:
        return None
    return {f: (bytes.fromhex(entry["salt"]), str(entry["value"])) for f, entry in salted.items()}


async def on_file(
    s: ReadSession, tenant_id: UUID, subject_ids: Sequence[UUID], *, at: datetime
) -> set[UUID]:
    """Those of them whose data can be opened and who were not erased since `at`: a key that was
    made later is another one."""
    rows = await s.all(
        "SELECT subject_id FROM personal_data d JOIN personal_keys k USING (tenant_id, subject_id) "
        "WHERE tenant_id = :tenant AND subject_id = ANY(:subjects) AND length(d.sealed) > 0 "
        "AND k.created_at <= :at",
        {"tenant": tenant_id, "subjects": list(subject_ids), "at": at},
    )
    return {row.subject_id for row in rows}


async def _opened(
    s: ReadSession, tenant_id: UUID, subject_id: UUID
) -> dict[str, dict[str, str]] | None:
    """An erased person has a key again once something new is sealed, but empty bytes still."""
    row = await s.first(
        "SELECT d.sealed, k.key FROM personal_data d JOIN personal_keys k "
        "USING (tenant_id, subject_id) WHERE tenant_id = :tenant AND subject_id = :subject "
        "AND length(d.sealed) > 0",
        {"tenant": tenant_id, "subject": subject_id},
    )
    if row is None:
        return None
    salted: dict[str, dict[str, str]] = loads(
        unseal(row.key, row.sealed, _bound_to(tenant_id, subject_id))
    )
    return salted


async def erase(s: WriteSession, tenant_id: UUID, subject_id: UUID, *, at: datetime) -> bool:
    """Destroy the subject's key and sealed bytes. False when there was nothing to erase.

    What others sealed with the key (`key_of`) is unreadable from then on and need not be touched.
    """
    if not await destroy(s, tenant_id, subject_id, at=at):
        return False
    data = {"subject": _subject(subject_id)}
    await log.append(s, tenant_id, "person.erased", data, at=at)
    return True


async def destroy(s: WriteSession, tenant_id: UUID, subject_id: UUID, *, at: datetime) -> bool:
    """`erase` without its entry: where the log has one and this database was restored."""
    keys = {"tenant": tenant_id, "subject": subject_id}
    gone = await s.execute(
        "DELETE FROM personal_keys WHERE tenant_id = :tenant AND subject_id = :subject", keys
    )
    if gone.rowcount == 0:
        return False
    await s.execute(_STORE, {**keys, "sealed": b"", "at": at})
    return True

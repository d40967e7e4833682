"""Staff who approve moves: enrolled by their Ed25519 public key, whose private half is theirs."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import PersonId, TenantId, format_id, new_uuid7
from custody.parties import tokens

_ROLE = re.compile(r"[a-z][a-z_]{0,31}")


@dataclass(frozen=True, slots=True)
class Person:
    """`public_key` is 32 raw bytes. A removed person's signatures count for nothing."""

    id: PersonId
    tenant_id: TenantId
    role: str
    public_key: bytes
    enrolled_at: datetime
    removed_at: datetime | None

    @property
    def is_active(self) -> bool:
        return self.removed_at is None


_COLUMNS = "id, tenant_id, role, public_key, enrolled_at, removed_at"
_ENROL = """
INSERT INTO people (tenant_id, id, role, public_key, enrolled_at)
VALUES (:tenant, :id, :role, :key, :at) ON CONFLICT (tenant_id, public_key) DO NOTHING
"""


def _person(row: Row[tuple[object, ...]]) -> Person:
    return Person(**row._mapping)


async def enrol(
    s: WriteSession,
    tenant_id: TenantId,
    role: str,
    public_key: bytes,
    *,
    at: datetime,
    person_id: PersonId | None = None,
) -> Person:
    """`person_id` is given when the signer's own store knows the person already (the ceremony).

    Raises InvalidInput for a bad role or key, Conflict when the key is enrolled.
    """
    if not _ROLE.fullmatch(role):
        raise InvalidInput("role", "must be 1 to 32 of a-z and _, beginning with a letter")
    if len(public_key) != 32:
        raise InvalidInput("public_key", "must be 32 bytes (Ed25519)")
    person = Person(person_id or PersonId(new_uuid7()), tenant_id, role, public_key, at, None)
    values = {"tenant": tenant_id, "id": person.id, "role": role, "key": public_key, "at": at}
    if (await s.execute(_ENROL, values)).rowcount != 1:
        raise Conflict("this key is enrolled", field="public_key", rule="unique")
    data = {
        "person": format_id("person", person.id),
        "role": role,
        "public_key": public_key.hex(),
    }
    await log.append(s, tenant_id, "person.enrolled", data, at=at)
    return person


async def ensure(
    s: WriteSession,
    tenant_id: TenantId,
    person_id: PersonId,
    role: str,
    public_key: bytes,
    *,
    at: datetime,
) -> Person:
    """`enrol`, or the person who is enrolled so already. Raises InvalidInput or Conflict."""
    lock = f"people/{tenant_id}"
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 3))", {"lock": lock})
    known = next((p for p in await every(s, tenant_id) if p.id == person_id), None)
    if known is None:
        return await enrol(s, tenant_id, role, public_key, at=at, person_id=person_id)
    if (known.role, known.public_key) != (role, public_key):
        raise Conflict("this person is enrolled otherwise", field="person", rule="unique")
    return known


_REMOVE = """
UPDATE people SET removed_at = :at
WHERE tenant_id = :tenant AND id = :id AND removed_at IS NULL
"""


async def remove(
    s: WriteSession, tenant_id: TenantId, person_id: PersonId, *, at: datetime
) -> Person:
    """From now on the person's signatures and tokens count for nothing. Again changes nothing.

    Raises NotFound.
    """
    values = {"tenant": tenant_id, "id": person_id, "at": at}
    if (await s.execute(_REMOVE, values)).rowcount == 1:
        data = {"person": format_id("person", person_id)}
        await log.append(s, tenant_id, "person.removed", data, at=at)
        await tokens.revoke_of(s, tenant_id, person_id, at=at)
    return await get(s, tenant_id, person_id)


async def get(
    s: ReadSession, tenant_id: TenantId, person_id: UUID, field: str | None = None
) -> Person:
    """Raises NotFound, naming the caller's `field`.

    Removed people are returned too: their past signatures have an owner.
    """
    row = await s.first(
        f"SELECT {_COLUMNS} FROM people WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": person_id},
    )
    if row is None:
        raise NotFound("person", format_id("person", person_id), field)
    return _person(row)


async def every(s: ReadSession, tenant_id: TenantId) -> list[Person]:
    """All people of a tenant, in order of enrolment."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM people WHERE tenant_id = :tenant ORDER BY id",
        {"tenant": tenant_id},
    )
    return [_person(r) for r in rows]

"""The service's copy of scoped freezes: what is frozen is not bound to a nonce.

The signer is asked first and stops by its own store; a row here only spares it the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.governance import Signature, concerns
from custody.core.ids import FreezeId, TenantId, format_id
from custody.core.intents import Intent

_COLUMNS = "id, tenant_id, scope, value, frozen_at, lifted_at"
_INSERT = """
INSERT INTO policy_freezes (id, tenant_id, scope, value, frozen_at)
VALUES (:id, :tenant, :scope, :value, :at) ON CONFLICT (id) DO NOTHING
"""
_LIFT = """
UPDATE policy_freezes SET lifted_at = :at
WHERE tenant_id = :tenant AND id = :id AND lifted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Freeze:
    """`value` is in lower case, and empty for the whole tenant."""

    id: FreezeId
    tenant_id: UUID
    scope: str
    value: str
    frozen_at: datetime
    lifted_at: datetime | None


async def record(
    s: WriteSession, tenant_id: TenantId, id_: UUID, scope: str, value: str, *, at: datetime
) -> Freeze:
    """Take over what the signer has frozen. The same one again changes nothing."""
    values = {"id": id_, "tenant": tenant_id, "scope": scope, "value": value.lower(), "at": at}
    if (await s.execute(_INSERT, values)).rowcount == 1:
        data = {"freeze": format_id("freeze", id_), "scope": scope, "value": value.lower()}
        await log.append(s, tenant_id, "freeze.set", data, at=at)
    return await get(s, tenant_id, id_)


async def lift(
    s: WriteSession,
    tenant_id: TenantId,
    id_: UUID,
    signatures: Sequence[Signature],
    *,
    at: datetime,
) -> Freeze:
    """Take over that the signer has lifted it. Raises NotFound."""
    if (await s.execute(_LIFT, {"id": id_, "tenant": tenant_id, "at": at})).rowcount == 1:
        signed = [x.to_json() for x in signatures]
        data: dict[str, Json] = {"freeze": format_id("freeze", id_), "signatures": signed}
        await log.append(s, tenant_id, "freeze.lifted", data, at=at)
    return await get(s, tenant_id, id_)


async def get(s: ReadSession, tenant_id: TenantId, id_: UUID) -> Freeze:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM policy_freezes WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": id_},
    )
    if row is None:
        raise NotFound("freeze", format_id("freeze", id_))
    return Freeze(**row._mapping)


async def every(s: ReadSession, tenant_id: TenantId) -> list[Freeze]:
    """Of a tenant, newest first, lifted ones too."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM policy_freezes WHERE tenant_id = :tenant ORDER BY id DESC",
        {"tenant": tenant_id},
    )
    return [Freeze(**row._mapping) for row in rows]


async def in_force(s: ReadSession) -> list[Freeze]:
    """Of all tenants."""
    rows = await s.all(f"SELECT {_COLUMNS} FROM policy_freezes WHERE lifted_at IS NULL")
    return [Freeze(**row._mapping) for row in rows]


def holds(frozen: Sequence[Freeze], intent: Intent) -> bool:
    """Whether one of these concerns an intent."""
    return any(
        f.tenant_id == intent.tenant_id and concerns(f.scope, f.value, intent) for f in frozen
    )

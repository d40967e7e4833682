"""What the log says of people and tokens, taken over into a database that came back from a backup.

Who was removed, erased, and which token was revoked, after the backup stays so; who was enrolled is
there again. Nothing is logged: the entries are there.
"""

from collections.abc import Iterable
from typing import Any

from custody.audit.behind import PutBack
from custody.core.db import WriteSession
from custody.core.ids import parse_id
from custody.parties import personal

KINDS = ("person.enrolled", "person.removed", "person.erased", "token.revoked")

_ENROL = """
INSERT INTO people (tenant_id, id, role, public_key, enrolled_at)
SELECT :tenant, :id, :role, :key, :at FROM tenants WHERE id = :tenant ON CONFLICT DO NOTHING
"""
_REMOVE = """
UPDATE people SET removed_at = :at WHERE tenant_id = :tenant AND id = :id AND removed_at IS NULL
"""
_REVOKE = """
UPDATE tokens SET revoked_at = :at
WHERE tenant_id = :tenant AND revoked_at IS NULL AND (id = :id OR person_id = :id)
"""


async def take_over(s: WriteSession, entries: Iterable[PutBack]) -> None:
    """Entries of `KINDS`, in the log's order. A tenant that this database lost is passed over."""
    for entry in entries:
        data = {name: str(value) for name, value in entry.data.items()}
        params: dict[str, Any] = {"tenant": entry.tenant_id, "at": entry.at}
        if entry.kind == "token.revoked":
            await s.execute(_REVOKE, {**params, "id": parse_id("token", data["token"])})
            continue
        if entry.kind == "person.erased":
            subject = parse_id("customer", data["subject"])
            await personal.destroy(s, entry.tenant_id, subject, at=entry.at)
            continue
        params["id"] = parse_id("person", data["person"])
        if entry.kind == "person.enrolled":
            key = bytes.fromhex(data["public_key"])
            await s.execute(_ENROL, {**params, "role": data["role"], "key": key})
        else:
            await s.execute(_REMOVE, params)
            await s.execute(_REVOKE, params)

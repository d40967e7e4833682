"""What the log says of tenants, customers, people and tokens, taken over into a database that came
back from a backup.

Who was removed or erased, and which token was revoked, after the backup stays so; who was there is
there again, so that nobody else gets the same key account, address or signature. What the log does
not say (a tenant's name) is its id. Nothing is logged: the entries are there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from custody.audit.behind import PutBack
from custody.core.db import WriteSession
from custody.core.errors import Conflict
from custody.core.ids import format_id, parse_id
from custody.parties import personal

_TENANT = """
INSERT INTO tenants (id, name, account_index, account_xpub, created_at)
VALUES (:tenant, :name, :index, :xpub, :at) ON CONFLICT DO NOTHING
"""
_TENANTS_INDEX = "SELECT account_index FROM tenants WHERE id = :tenant"
_CUSTOMERS = """
INSERT INTO customers (tenant_id, id, reference, created_at)
SELECT c.tenant_id, c.id, c.reference, c.at
FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:references AS text[]),
            CAST(:ats AS timestamptz[])) AS c(tenant_id, id, reference, at)
JOIN tenants t ON t.id = c.tenant_id ON CONFLICT DO NOTHING
"""
_ENROL = """
INSERT INTO people (tenant_id, id, role, public_key, enrolled_at)
SELECT :tenant, :id, :role, :key, :at FROM tenants WHERE id = :tenant ON CONFLICT DO NOTHING
"""
_ANOTHER = """
SELECT EXISTS (SELECT FROM tenants WHERE id = :tenant) AND NOT EXISTS (
    SELECT FROM people
    WHERE tenant_id = :tenant AND id = :id AND role = :role AND public_key = :key)
"""
_REMOVE = """
UPDATE people SET removed_at = :at WHERE tenant_id = :tenant AND id = :id AND removed_at IS NULL
"""
_REVOKE = """
UPDATE tokens SET revoked_at = :at
WHERE tenant_id = :tenant AND revoked_at IS NULL AND (id = :id OR person_id = :id)
"""


async def _tenant(s: WriteSession, entry: PutBack, data: Mapping[str, str]) -> None:
    name = format_id("tenant", entry.tenant_id)
    index = {"index": int(data["account_index"]), "xpub": data.get("xpub", "")}
    await s.execute(_TENANT, {"tenant": entry.tenant_id, "name": name, "at": entry.at, **index})
    if await s.scalar(_TENANTS_INDEX, {"tenant": entry.tenant_id}) != index["index"]:
        raise Conflict(
            f"key account {index['index']} of {name} was given to another tenant after this"
            " database came back: restore the backup once more, and begin with the log"
        )


async def _customers(s: WriteSession, entries: Sequence[PutBack]) -> None:
    """All at once, for they may be many. Under its id where another has its reference now."""
    columns: dict[str, list[Any]] = {
        "tenants": [e.tenant_id for e in entries],
        "ids": [parse_id("customer", str(e.data["customer"])) for e in entries],
        "ats": [e.at for e in entries],
    }
    printed = [str(e.data["customer"]) for e in entries]
    names = [str(e.data.get("reference", id_)) for e, id_ in zip(entries, printed, strict=True)]
    for references in (names, printed):
        await s.execute(_CUSTOMERS, {**columns, "references": references})


async def _enrolled(s: WriteSession, entry: PutBack, data: Mapping[str, str]) -> None:
    person = {"role": data["role"], "key": bytes.fromhex(data["public_key"])}
    known = _person(entry, data)
    await s.execute(_ENROL, {**known, **person})
    if await s.scalar(_ANOTHER, {name: v for name, v in (known | person).items() if name != "at"}):
        raise Conflict(
            f"{data['person']} of {format_id('tenant', entry.tenant_id)}, or the key, was enrolled"
            " otherwise after this database came back: restore the backup once more, and begin"
            " with the log"
        )


async def _removed(s: WriteSession, entry: PutBack, data: Mapping[str, str]) -> None:
    await s.execute(_REMOVE, _person(entry, data))
    await s.execute(_REVOKE, _person(entry, data))


def _person(entry: PutBack, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "tenant": entry.tenant_id,
        "id": parse_id("person", data["person"]),
        "at": entry.at,
    }


async def _erased(s: WriteSession, entry: PutBack, data: Mapping[str, str]) -> None:
    subject = parse_id("customer", data["subject"])
    await personal.destroy(s, entry.tenant_id, subject, at=entry.at)


async def _revoked(s: WriteSession, entry: PutBack, data: Mapping[str, str]) -> None:
    token = parse_id("token", data["token"])
    await s.execute(_REVOKE, {"tenant": entry.tenant_id, "id": token, "at": entry.at})


_TAKE: Mapping[str, Callable[[WriteSession, PutBack, Mapping[str, str]], Awaitable[None]]] = {
    "tenant.created": _tenant,
    "person.enrolled": _enrolled,
    "person.removed": _removed,
    "person.erased": _erased,
    "token.revoked": _revoked,
}
CUSTOMER = "customer.created"
KINDS = (*_TAKE, CUSTOMER)


async def take_over(s: WriteSession, entries: Sequence[PutBack]) -> None:
    """Entries of `KINDS`, in the log's order. Raises Conflict where a tenant's keys were given to
    another one, or a person or a person's key enrolled otherwise, since the database came back."""
    for entry in entries:
        if entry.kind != CUSTOMER:
            data = {name: str(value) for name, value in entry.data.items()}
            await _TAKE[entry.kind](s, entry, data)
    await _customers(s, [entry for entry in entries if entry.kind == CUSTOMER])

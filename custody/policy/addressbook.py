"""The service's copy of the address book: whom people know, since when, and what looks like them.

The signer checks the signatures and computes the same from its own store; `entered_at` is its time,
so that both say "active" from the same second on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, NotFound
from custody.core.facts import Book
from custody.core.governance import Address, Signature
from custody.core.ids import AddressId, TenantId, format_id
from custody.policy.conditions import looks_like
from custody.policy.document import Policy

_COLUMNS = "id, chain_id, address, label, person_id, signature, entered_at, removed_at"
_INSERT = """
INSERT INTO address_book
  (id, tenant_id, chain_id, address, label, person_id, signature, entered_at)
VALUES (:id, :tenant, :chain, :address, :label, :person, :signature, :entered)
ON CONFLICT DO NOTHING
"""
_REMOVE = """
UPDATE address_book SET removed_at = :at
WHERE tenant_id = :tenant AND id = :id AND removed_at IS NULL
"""
_LIVE = """
SELECT address, entered_at FROM address_book
WHERE tenant_id = :tenant AND chain_id = :chain AND removed_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An address that a person entered; it may be paid once it has cooled."""

    id: AddressId
    chain_id: int
    address: str
    label: str
    person_id: UUID
    signature: str
    entered_at: datetime
    removed_at: datetime | None


async def enter(
    s: WriteSession,
    entry: Address,
    signature: str,
    consents: Sequence[Signature],
    *,
    entered_at: datetime,
    at: datetime,
) -> Entry:
    """Take over what the signer has entered. The same one again changes nothing.

    Raises Conflict where the address is in the book under another id.
    """
    tenant = TenantId(entry.tenant_id)
    values = {
        "id": entry.id,
        "tenant": tenant,
        "chain": entry.chain_id,
        "address": entry.address,
        "label": entry.label,
        "person": entry.person_id,
        "signature": signature,
        "entered": entered_at,
    }
    if (await s.execute(_INSERT, values)).rowcount == 1:
        data = entry.to_json()
        logged = {k: data[k] for k in ("entry", "chain_id", "address", "label", "person")}
        agreed = [c.to_json() for c in consents]
        await log.append(
            s,
            tenant,
            "address.entered",
            {**logged, "signature": signature, "consents": agreed},
            at=at,
        )
    try:
        return await get(s, tenant, entry.id)
    except NotFound:
        raise Conflict("this address is in the book", field="address", rule="once") from None


async def remove(
    s: WriteSession, tenant_id: TenantId, id_: UUID, by: Signature, *, at: datetime
) -> Entry:
    """Take over that the signer has removed it. Raises NotFound."""
    if (await s.execute(_REMOVE, {"id": id_, "tenant": tenant_id, "at": at})).rowcount == 1:
        data = {"entry": format_id("address", id_), **by.to_json()}
        await log.append(s, tenant_id, "address.removed", data, at=at)
    return await get(s, tenant_id, id_)


async def get(s: ReadSession, tenant_id: TenantId, id_: UUID) -> Entry:
    row = await s.first(
        f"SELECT {_COLUMNS} FROM address_book WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": id_},
    )
    if row is None:
        raise NotFound("entry", format_id("address", id_))
    return Entry(**row._mapping)


async def every(s: ReadSession, tenant_id: TenantId) -> list[Entry]:
    """Of a tenant, in the order they were made, removed ones too."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM address_book WHERE tenant_id = :tenant ORDER BY id",
        {"tenant": tenant_id},
    )
    return [Entry(**row._mapping) for row in rows]


async def facts_of(
    s: ReadSession, policy: Policy, chain_id: int, addresses: Iterable[str], now: datetime
) -> dict[str, tuple[Book, bool]]:
    """What the book says of each address, and whether it looks like another one of the book.

    An entry that is active is no look-alike.
    """
    rows = await s.all(_LIVE, {"tenant": policy.tenant_id, "chain": chain_id})
    since = {row.address: row.entered_at for row in rows}
    return {a: _told(a, since, now - timedelta(seconds=policy.cooling_s)) for a in set(addresses)}


def _told(address: str, since: Mapping[str, datetime], active_from: datetime) -> tuple[Book, bool]:
    entered = since.get(address)
    if entered is None:
        book = Book.ABSENT
    else:
        book = Book.ACTIVE if entered <= active_from else Book.COOLING
    return book, book is not Book.ACTIVE and any(looks_like(address, known) for known in since)

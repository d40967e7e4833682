"""Customers: the holders of balances. Who they are as persons lies in `personal`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from custody.audit import log
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, InvalidInput, NotFound
from custody.core.ids import CustomerId, TenantId, format_id, new_uuid7

_REFERENCE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Customer:
    id: CustomerId
    tenant_id: TenantId
    reference: str
    created_at: datetime


def _customer(row: Row[tuple[object, ...]]) -> Customer:
    return Customer(**row._mapping)


_CREATE = """
INSERT INTO customers (tenant_id, id, reference, created_at)
VALUES (:tenant, :id, :reference, :at) ON CONFLICT (tenant_id, reference) DO NOTHING
"""


async def create(s: WriteSession, tenant_id: TenantId, reference: str, *, at: datetime) -> Customer:
    """Raises InvalidInput for a malformed reference, Conflict for one that is taken."""
    if not _REFERENCE.fullmatch(reference):
        raise InvalidInput("reference", "must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    customer = Customer(CustomerId(new_uuid7()), tenant_id, reference, at)
    values = {"tenant": tenant_id, "id": customer.id, "reference": reference, "at": at}
    if (await s.execute(_CREATE, values)).rowcount != 1:
        raise Conflict("a customer with this reference exists", field="reference", rule="unique")
    data = {"customer": format_id("customer", customer.id), "reference": reference}
    await log.append(s, tenant_id, "customer.created", data, at=at)
    return customer


async def get(
    s: ReadSession, tenant_id: TenantId, customer_id: UUID, field: str | None = None
) -> Customer:
    """Raises NotFound, also for another tenant's customer; `field` is what the caller called it."""
    row = await s.first(
        "SELECT id, tenant_id, reference, created_at FROM customers "
        "WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": customer_id},
    )
    if row is None:
        raise NotFound("customer", format_id("customer", customer_id), field)
    return _customer(row)


async def listing(
    s: ReadSession, tenant_id: TenantId, cursor: UUID | None, limit: int
) -> Sequence[Customer]:
    """Up to `limit` customers in order of id, after `cursor`."""
    rows = await s.all(
        "SELECT id, tenant_id, reference, created_at FROM customers "
        "WHERE tenant_id = :tenant AND (CAST(:cursor AS uuid) IS NULL OR id > :cursor) "
        "ORDER BY id LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [_customer(r) for r in rows]

"""Bearer tokens: opaque, stored as SHA-256 only, of one role each, with an end."""

import hashlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Row

from custody.audit import log
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import TokenId, format_id, new_uuid7

PREFIX = "mrg_"


class Role(StrEnum):
    HOLDER = "holder"  # one customer's own objects
    TREASURY = "treasury"  # a tenant's objects; sets policies, approves moves
    AUDITOR = "auditor"  # reads a tenant's objects; each read is logged


@dataclass(frozen=True, slots=True)
class Token:
    """What a token stands for. `customer_id` only for a holder; `person_id` for staff."""

    id: UUID
    tenant_id: UUID
    role: Role
    customer_id: UUID | None
    person_id: UUID | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


_COLUMNS = "id, tenant_id, role, customer_id, person_id, created_at, expires_at, revoked_at"


def _token(row: Row[tuple[object, ...]]) -> Token:
    values = dict(row._mapping)
    return Token(**{**values, "role": Role(values["role"])})


def new_secret() -> str:
    """`mrg_` and 32 random bytes in base64url."""
    return PREFIX + urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _check(role: Role, customer_id: UUID | None, at: datetime, expires_at: datetime) -> None:
    if (role is Role.HOLDER) != (customer_id is not None):
        raise InvalidInput("customer", "must be given for a holder's token and for no other")
    if expires_at <= at:
        raise InvalidInput("expires_at", "must be in the future")


_ISSUE = """
INSERT INTO tokens
  (tenant_id, id, hash, role, customer_id, person_id, created_at, expires_at)
VALUES (:tenant, :id, :hash, :role, :customer, :person, :at, :expires)
"""


async def issue(
    s: WriteSession,
    tenant_id: UUID,
    role: Role,
    *,
    at: datetime,
    expires_at: datetime,
    customer_id: UUID | None = None,
    person_id: UUID | None = None,
) -> tuple[Token, str]:
    """The token and its text, which is known to nobody afterwards.

    Requires that the customer or person is of the same tenant (a foreign key holds it).
    """
    _check(role, customer_id, at, expires_at)
    secret = new_secret()
    id_ = TokenId(new_uuid7())
    token = Token(id_, tenant_id, role, customer_id, person_id, at, expires_at, None)
    await s.execute(
        _ISSUE,
        {
            "tenant": tenant_id,
            "id": id_,
            "hash": hash_secret(secret),
            "role": role.value,
            "customer": customer_id,
            "person": person_id,
            "at": at,
            "expires": expires_at,
        },
    )
    await log.append(s, tenant_id, "token.issued", _issued(token), at=at)
    return token, secret


def _issued(token: Token) -> dict[str, str | None]:
    customer, person = token.customer_id, token.person_id
    return {
        "token": format_id("token", token.id),
        "role": token.role.value,
        "customer": format_id("customer", customer) if customer else None,
        "person": format_id("person", person) if person else None,
        "expires_at": iso_us(token.expires_at),
    }


async def by_hash(s: ReadSession, hash_: bytes) -> Token | None:
    row = await s.first(f"SELECT {_COLUMNS} FROM tokens WHERE hash = :hash", {"hash": hash_})
    return None if row is None else _token(row)


async def revoke(s: WriteSession, tenant_id: UUID, token_id: UUID, *, at: datetime) -> Token:
    """Idempotent: a second call changes nothing. Raises NotFound."""
    changed = await s.first(
        f"UPDATE tokens SET revoked_at = :at WHERE tenant_id = :tenant AND id = :id "
        f"AND revoked_at IS NULL RETURNING {_COLUMNS}",
        {"tenant": tenant_id, "id": token_id, "at": at},
    )
    if changed is None:
        return await get(s, tenant_id, token_id)
    data = {"token": format_id("token", token_id)}
    await log.append(s, tenant_id, "token.revoked", data, at=at)
    return _token(changed)


async def revoke_of(s: WriteSession, tenant_id: UUID, person_id: UUID, *, at: datetime) -> int:
    """Revoke every token of one person; how many were still good."""
    rows = await s.all(
        "SELECT id FROM tokens WHERE tenant_id = :tenant AND person_id = :person"
        " AND revoked_at IS NULL",
        {"tenant": tenant_id, "person": person_id},
    )
    for row in rows:
        await revoke(s, tenant_id, row.id, at=at)
    return len(rows)


async def get(s: ReadSession, tenant_id: UUID, token_id: UUID, field: str | None = None) -> Token:
    """Raises NotFound, also for another tenant's token; `field` is what the caller called it."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM tokens WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": token_id},
    )
    if row is None:
        raise NotFound("token", format_id("token", token_id), field)
    return _token(row)


async def listing(
    s: ReadSession, tenant_id: UUID, cursor: UUID | None, limit: int
) -> Sequence[Token]:
    """Up to `limit` tokens in order of id, after `cursor`."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM tokens WHERE tenant_id = :tenant "
        "AND (CAST(:cursor AS uuid) IS NULL OR id > :cursor) ORDER BY id LIMIT :limit",
        {"tenant": tenant_id, "cursor": cursor, "limit": limit},
    )
    return [_token(r) for r in rows]

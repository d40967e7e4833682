"""Idempotency of money-moving requests: key plus hash of the input, stored in the money commit.

Same key, same body: the same answer, byte for byte. Same key, other body: IdempotencyMismatch.
The first one still running: IdempotencyInFlight. Keys never expire.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, LargeBinary, String, Table, Uuid, func

from custody.core.db import WriteSession, metadata
from custody.core.errors import IdempotencyInFlight, IdempotencyMismatch, InvalidInput

KEY_LENGTH_MAX = 128

keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("principal", String(64), primary_key=True),
    Column("key", String(KEY_LENGTH_MAX), primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


def request_hash(method: str, path: str, body: bytes) -> bytes:
    """SHA-256 over method, path and raw body, each with its length before it."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def check_key(key: str) -> str:
    """Requires 1 to 128 visible ASCII characters."""
    visible = key.isascii() and key.isprintable() and " " not in key
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not visible:
        raise InvalidInput("Idempotency-Key", "must be 1 to 128 visible ASCII characters")
    return key


_BEGIN = """
SELECT pg_try_advisory_xact_lock(hashtextextended(:lock, 7)) AS mine
"""
_LOAD = """
SELECT request_hash, status, body FROM idempotency_keys
WHERE tenant_id = :tenant AND principal = :principal AND key = :key
"""
_STORE = """
INSERT INTO idempotency_keys (tenant_id, principal, key, request_hash, status, body)
VALUES (:tenant, :principal, :key, :hash, :status, :body)
"""


async def begin(
    session: WriteSession, tenant: UUID, principal: str, key: str, hash_: bytes
) -> StoredAnswer | None:
    """Take the key for this transaction; the stored answer if there is one.

    The lock and the look-up are two statements on purpose: the look-up's snapshot must be taken
    after the lock is held, or it could miss the row of a request that has just committed.
    """
    mine = await session.scalar(_BEGIN, {"lock": f"idem/{tenant}/{principal}/{key}"})
    if not mine:
        raise IdempotencyInFlight("the first request with this Idempotency-Key is still running")
    row = await session.first(_LOAD, {"tenant": tenant, "principal": principal, "key": key})
    if row is None:
        return None
    if row.request_hash != hash_:
        raise IdempotencyMismatch("Idempotency-Key", "was used with another request")
    return StoredAnswer(row.status, row.body)


async def finish(
    session: WriteSession,
    tenant: UUID,
    principal: str,
    key: str,
    hash_: bytes,
    answer: StoredAnswer,
) -> None:
    """Store the answer in the caller's transaction."""
    await session.execute(
        _STORE,
        {
            "tenant": tenant,
            "principal": principal,
            "key": key,
            "hash": hash_,
            "status": answer.status,
            "body": answer.body,
        },
    )

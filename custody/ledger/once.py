"""A ledger-only move in one round trip: idempotency key, postings, audit entry, answer, commit.

For what is asked thousands of times a second. What it does is what `idempotency.begin`, `post`,
`log.append` and `idempotency.finish` do one by one in a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import ReadSession
from custody.core.errors import IdempotencyInFlight, IdempotencyMismatch
from custody.core.idempotency import StoredAnswer
from custody.core.ids import new_uuid7
from custody.ledger.posting import Transfer

_POST_ONCE = text(
    """
    SELECT verdict, status, body FROM ledger_post_once(
        :tenant, :principal, :key, :hash, :batch, :entry, :kind, :at, :entry_body,
        :status, :answer)
    """
).bindparams(bindparam("batch", type_=JSONB))


@dataclass(frozen=True, slots=True)
class Request:
    """Whose request it is, its key, and the hash of its input."""

    tenant_id: UUID
    principal: str
    key: str
    hash: bytes


async def post_once(
    s: ReadSession,
    request: Request,
    transfers: Sequence[Transfer],
    kind: str,
    data: Mapping[str, Json],
    answer: StoredAnswer,
    *,
    at: datetime,
) -> StoredAnswer | None:
    """The answer: this one, or that of the first time. None: the ledger refuses, nothing is stored.

    Requires a session outside any transaction (the statement commits itself) and one transfer or
    one linked group. Raises IdempotencyInFlight or IdempotencyMismatch.
    """
    entry_id = new_uuid7()
    row = await s.one(
        _POST_ONCE,
        {
            "tenant": request.tenant_id,
            "principal": request.principal,
            "key": request.key,
            "hash": request.hash,
            "batch": [t.to_json() for t in transfers],
            "entry": entry_id,
            "kind": kind,
            "at": at,
            "entry_body": log.encode(entry_id, request.tenant_id, kind, data, at),
            "status": answer.status,
            "answer": answer.body,
        },
    )
    if row.verdict == "in_flight":
        raise IdempotencyInFlight("the first request with this Idempotency-Key is still running")
    if row.verdict == "mismatch":
        raise IdempotencyMismatch("Idempotency-Key", "was used with another request")
    return None if row.verdict == "refused" else StoredAnswer(row.status, row.body)

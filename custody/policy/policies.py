"""The service's copy of each tenant's policy: versions grow, each names the one before it."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from custody.audit import log
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, Unavailable
from custody.core.serialization import dumps_text, loads
from custody.policy.document import Policy, parse, split_signed

_CURRENT = """
SELECT version, hash, document FROM policies
WHERE tenant_id = :tenant ORDER BY version DESC LIMIT 1
"""
_INSERT = """
INSERT INTO policies (tenant_id, version, hash, document, signature, loaded_at)
VALUES (:tenant, :version, :hash, CAST(:document AS jsonb), :signature, :at)
"""


async def install(s: WriteSession, signed: Mapping[str, Any], *, at: datetime) -> Policy:
    """Store a signed policy that the signer has accepted. The same one again changes nothing.

    Call the signer first: it verifies the authority's signature, and a policy that only the
    service knows signs nothing. Raises InvalidInput, or Conflict when it does not follow the
    current version.
    """
    policy, signature = split_signed(signed)
    lock = f"policy/{policy.tenant_id}"
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 5))", {"lock": lock})
    head = await s.first(_CURRENT, {"tenant": policy.tenant_id})
    if head is not None and head.hash == policy.hash:
        return policy
    expected = (1, None) if head is None else (head.version + 1, head.hash)
    if (policy.version, policy.previous) != expected:
        raise Conflict(
            f"policy must be version {expected[0]} and follow {expected[1]}",
            field="version",
            rule="must follow the current version and name its hash",
        )
    await s.execute(
        _INSERT,
        {
            "tenant": policy.tenant_id,
            "version": policy.version,
            "hash": policy.hash,
            "document": dumps_text(policy.body),
            "signature": signature.hex(),
            "at": at,
        },
    )
    data: dict[str, Json] = {
        "version": str(policy.version),
        "hash": policy.hash,
        "previous": policy.previous,
        "document": dict(policy.body),
        "signature": signature.hex(),
    }
    await log.append(s, policy.tenant_id, "policy.loaded", data, at=at)
    return policy


async def current(s: ReadSession, tenant_id: UUID) -> Policy:
    """Raises Unavailable where no policy is loaded: without one, money stays where it is."""
    row = await s.first(_CURRENT, {"tenant": tenant_id})
    if row is None:
        raise Unavailable("no policy is loaded for this tenant", tenant=str(tenant_id))
    return _parsed(row.hash, dumps_text(row.document))


async def versions(s: ReadSession, tenant_id: UUID) -> list[dict[str, Any]]:
    """Every version, newest first: document, signature, hash and time."""
    rows = await s.all(
        "SELECT version, hash, document, signature, loaded_at FROM policies"
        " WHERE tenant_id = :tenant ORDER BY version DESC",
        {"tenant": tenant_id},
    )
    return [dict(row._mapping) for row in rows]


@lru_cache(maxsize=64)
def _parsed(hash_: str, document: str) -> Policy:
    policy = parse(loads(document))
    if policy.hash != hash_:
        raise Unavailable("the stored policy does not match its hash", hash=hash_)
    return policy

"""Approvals: people's signatures over the digest of one exact intent, until a time.

The signer checks each again on its own; here they are collected, and bad ones turned away early.
"""

from datetime import datetime
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custody.audit import log
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Forbidden, InvalidInput, Refused
from custody.core.ids import ApprovalId, TenantId, format_id, new_uuid7
from custody.core.intents import Approval, approval_payload
from custody.parties import people
from custody.policy.strict import hex_bytes

_INSERT = """
INSERT INTO approvals
  (id, tenant_id, intent_digest, person_id, expires_at, signature, created_at)
VALUES (:id, :tenant, :digest, :person, :expires, :signature, :at)
ON CONFLICT (tenant_id, intent_digest, person_id, expires_at) DO NOTHING RETURNING id
"""
_KNOWN = """
SELECT id FROM approvals WHERE tenant_id = :tenant AND intent_digest = :digest
  AND person_id = :person AND expires_at = :expires
"""
_VALID = """
SELECT DISTINCT ON (a.person_id) a.person_id, p.role, a.expires_at, a.signature
FROM approvals a JOIN people p ON p.tenant_id = a.tenant_id AND p.id = a.person_id
WHERE a.tenant_id = :tenant AND a.intent_digest = :digest
  AND a.expires_at > :now AND p.removed_at IS NULL
ORDER BY a.person_id, a.expires_at DESC
"""


async def record(
    s: WriteSession,
    tenant_id: TenantId,
    approval: Approval,
    *,
    at: datetime,
    initiator: UUID | None = None,
    roles: tuple[str, ...] | None = None,
) -> ApprovalId:
    """Store one person's approval; the same one again gives the first id.

    `initiator` is who asked for the intent and may not approve it; `roles` are those whose
    approval counts (None: not checked here). Checks in this order: form, expiry, person, removed,
    initiator, role, signature. Raises InvalidInput, Refused, NotFound or Forbidden.
    """
    signature = hex_bytes(approval.signature, "signature", 64)
    if approval.expires_at <= at:
        raise Refused("expires_at", "must be in the future")
    person = await people.get(s, tenant_id, approval.person_id)
    if not person.is_active:
        raise Forbidden("this person was removed", field="person", rule="must be enrolled")
    if approval.person_id == initiator:
        raise Forbidden("who asked may not approve", field="person", rule="not the initiator")
    if roles is not None and person.role not in roles:
        raise Forbidden("this role may not approve", field="person", rule="role must be allowed")
    if not is_signed_by(person.public_key, approval, signature):
        raise InvalidInput("signature", "must be the person's Ed25519 signature of the payload")
    return await _store(s, tenant_id, approval, at)


def is_signed_by(public_key: bytes, approval: Approval, signature: bytes) -> bool:
    """Whether `signature` is this key's over the approval's exact payload."""
    payload = approval_payload(approval.person_id, approval.intent_digest, approval.expires_at)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, payload)
    except (InvalidSignature, ValueError):
        return False
    return True


async def valid_for(
    s: ReadSession, tenant_id: UUID, intent_digest: str, *, now: datetime
) -> list[tuple[Approval, str]]:
    """Unexpired approvals by people still enrolled, one a person, each with the person's role."""
    rows = await s.all(_VALID, {"tenant": tenant_id, "digest": intent_digest, "now": now})
    return [(Approval(r.person_id, intent_digest, r.expires_at, r.signature), r.role) for r in rows]


async def _store(
    s: WriteSession, tenant_id: TenantId, approval: Approval, at: datetime
) -> ApprovalId:
    values = {
        "id": new_uuid7(),
        "tenant": tenant_id,
        "digest": approval.intent_digest,
        "person": approval.person_id,
        "expires": approval.expires_at,
        "signature": approval.signature,
        "at": at,
    }
    stored = await s.scalar(_INSERT, values)
    if stored is None:
        return ApprovalId(await s.scalar(_KNOWN, values))
    data = {
        "approval": format_id("approval", stored),
        "person": format_id("person", approval.person_id),
        "digest": approval.intent_digest,
        "expires_at": iso_us(approval.expires_at),
        "signature": approval.signature,
    }
    await log.append(s, tenant_id, "approval.recorded", data, at=at)
    return ApprovalId(stored)

"""What two people of treasury agree to: the exact document they sign, and whether they did.

The signature is that of an approval (`moorage.approval/1`), made outside the service, over the
document's digest. Whoever asks for it names in the document everything that is decided: what has
changed since is another document, and the approvals of the old one count for nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from custody.core import canonical
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession
from custody.core.errors import Forbidden, InvalidInput, Refused
from custody.core.governance import TREASURY
from custody.core.ids import TenantId
from custody.core.intents import Approval
from custody.parties import people
from custody.policy import approvals
from custody.policy.strict import hex_bytes

PEOPLE = 2
"""How many of treasury must agree; `custody/audit/verify.py` asks for as many."""


def digest(body: Mapping[str, Json]) -> str:
    """What people sign: `sha256:` of the document's canonical bytes."""
    return "sha256:" + hashlib.sha256(canonical.encode(dict(body))).hexdigest()


async def require(
    s: ReadSession,
    tenant_id: TenantId,
    body: Mapping[str, Json],
    given: Sequence[Approval],
    *,
    at: datetime,
    of: str,
) -> dict[str, Json]:
    """Two persons of treasury, enrolled now, agreed to this document until a time not yet over.

    What the log says of it, from which anybody can check the signatures again. `of` says in an
    error what the document is of. Each approval is checked, in this order: form, digest, expiry,
    person, removed, role, signature; then whether two persons gave them. Raises InvalidInput,
    Refused, NotFound or Forbidden.
    """
    agreed, digest_ = set(), digest(body)
    for approval in given:
        signature = hex_bytes(approval.signature, "approvals.signature", 64)
        if approval.intent_digest != digest_:
            raise Refused("approvals.digest", f"must be of {of}: {digest_}")
        if approval.expires_at <= at:
            raise Refused("approvals.expires_at", "must be in the future")
        person = await people.get(s, tenant_id, approval.person_id, "approvals.person")
        if not person.is_active:
            raise Forbidden(
                "this person was removed", field="approvals.person", rule="must be enrolled"
            )
        if person.role != TREASURY:
            raise Forbidden(
                "this role may not decide", field="approvals.person", rule="must be of treasury"
            )
        if not approvals.is_signed_by(person.public_key, approval, signature):
            raise InvalidInput(
                "approvals.signature", "must be the person's Ed25519 signature of the payload"
            )
        agreed.add(person.id)
    if len(agreed) < PEOPLE:
        raise Refused("approvals", f"must be by {PEOPLE} persons of treasury, not {len(agreed)}")
    return {
        "digest": digest_,
        "document": dict(body),
        "approvals": [dict(a.to_json()) for a in given],
        "decided_at": iso_us(at),
    }

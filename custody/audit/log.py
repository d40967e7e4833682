"""Append to the audit log, in the caller's transaction: the entry commits with what it tells.

An entry gets its number later, from the sequencer, once it has committed.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from custody.audit.events import validated
from custody.core import canonical
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import WriteSession
from custody.core.errors import InvalidInput
from custody.core.ids import EntryId, format_id, new_uuid7

ENTRY_BYTES_MAX = 2**16 - 1
"""tlog-tiles entry bundles write an entry's length in 16 bits."""

_INSERT = """
WITH entry AS (
  INSERT INTO audit_entries (id, tenant_id, kind, at, body)
  VALUES (:id, :tenant, :kind, :at, :body) RETURNING id
)
INSERT INTO audit_pending (entry_id) SELECT id FROM entry
"""


def encode(
    entry_id: UUID, tenant_id: UUID, kind: str, data: Mapping[str, Json], at: datetime
) -> bytes:
    """The canonical entry. Raises InvalidInput naming the field that breaks its schema."""
    version, checked = validated(kind, data)
    try:
        body = canonical.encode(
            {
                "v": version,
                "id": format_id("entry", entry_id),
                "tenant": format_id("tenant", tenant_id),
                "kind": str(kind),
                "at": iso_us(at),
                "data": checked,
            }
        )
    except ValueError as error:
        raise InvalidInput(kind, "must have a canonical form", str(error)) from error
    if len(body) > ENTRY_BYTES_MAX:
        raise InvalidInput(kind, f"an entry has at most {ENTRY_BYTES_MAX} bytes", size=len(body))
    return body


async def append(
    s: WriteSession, tenant_id: UUID, kind: str, data: Mapping[str, Json], *, at: datetime
) -> EntryId:
    """Write one entry of `kind` about `tenant_id`; `at` is when it happened (UTC).

    Raises InvalidInput when the kind is not registered or its fields are not exactly right.
    """
    if at.tzinfo is None:
        raise InvalidInput("at", "must carry a time zone")
    entry_id = new_uuid7()
    body = encode(entry_id, tenant_id, kind, data, at)
    await s.execute(
        _INSERT,
        {"id": entry_id, "tenant": tenant_id, "kind": str(kind), "at": at, "body": body},
    )
    return EntryId(entry_id)

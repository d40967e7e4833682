"""Loosenings that wait at the signer: shown to owners in the log, and taken over once in force.

The signer alone decides when; here is the copy of what waits, with its signatures, and a job that
follows what the signer says.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from custody.audit import log
from custody.core.canonical import Json
from custody.core.clock import Clock, iso_us
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import NotFound
from custody.core.governance import Changing, Signature
from custody.core.ids import PersonId, TenantId, format_id, parse_id
from custody.core.isolation import each
from custody.core.serialization import dumps_text
from custody.parties import people
from custody.policy import policies

logger = logging.getLogger(__name__)

PENDING, IN_FORCE, VETOED, DROPPED = "pending", "in_force", "vetoed", "dropped"
Status = Callable[[], Awaitable[dict[str, Any]]]
"""The signer's own account of itself."""
_COLUMNS = "tenant_id, hash, changes, version, document, state, proposed_at, due_at"
_PROPOSE = """
INSERT INTO policy_changes (tenant_id, hash, changes, version, document, state, proposed_at, due_at)
VALUES (:tenant, :hash, :changes, :version, CAST(:document AS jsonb), 'pending', :at, :due)
ON CONFLICT (tenant_id, hash) DO UPDATE SET state = 'pending', document = excluded.document,
  proposed_at = excluded.proposed_at, due_at = excluded.due_at
WHERE policy_changes.state = 'dropped'
"""
_END = """
UPDATE policy_changes SET state = :state
WHERE tenant_id = :tenant AND hash = :hash AND state = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document with the authority's signature and those of who agreed; `due_at` by the signer."""

    tenant_id: TenantId
    hash: str
    changes: str
    version: int
    document: Mapping[str, Any]
    state: str
    proposed_at: datetime
    due_at: datetime


async def propose(s: WriteSession, change: Waiting) -> None:
    """Write down what waits at the signer. The same one again changes nothing."""
    values = {
        "tenant": change.tenant_id,
        "hash": change.hash,
        "changes": change.changes,
        "version": change.version,
        "document": dumps_text(dict(change.document)),
        "at": change.proposed_at,
        "due": change.due_at,
    }
    if (await s.execute(_PROPOSE, values)).rowcount != 1:
        return
    data: dict[str, Json] = {
        "changes": change.changes,
        "hash": change.hash,
        "version": str(change.version),
        "due_at": iso_us(change.due_at),
        "document": dict(change.document[change.changes]),
        "consents": list(change.document.get("consents", ())),
    }
    await log.append(s, change.tenant_id, "change.proposed", data, at=change.proposed_at)


async def veto(
    s: WriteSession, tenant_id: TenantId, hash_: str, by: Signature, *, at: datetime
) -> None:
    """Take over that the signer has dropped it."""
    change = await get(s, tenant_id, hash_)
    await _end(s, change, VETOED, at=at, by=by.to_json())


async def get(s: ReadSession, tenant_id: TenantId, hash_: str) -> Waiting:
    """Raises NotFound."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM policy_changes WHERE tenant_id = :tenant AND hash = :hash",
        {"tenant": tenant_id, "hash": hash_},
    )
    if row is None:
        raise NotFound("change", hash_)
    return Waiting(**row._mapping)


async def pending(s: ReadSession, tenant_id: TenantId | None = None) -> list[Waiting]:
    """What waits, of one tenant or of all; the first due first."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM policy_changes WHERE state = 'pending'"
        " AND (CAST(:tenant AS uuid) IS NULL OR tenant_id = :tenant) ORDER BY due_at",
        {"tenant": tenant_id},
    )
    return [Waiting(**row._mapping) for row in rows]


async def step(db: Database, clock: Clock, status: Status) -> int:
    """Follow the signer: what is in force there is taken over, what it dropped has ended."""
    async with db.read() as s:
        waiting = await pending(s)
    if not waiting:
        return 0
    tenants = {t["tenant"]: t for t in (await status())["tenants"]}

    async def look(change: Waiting) -> bool:
        said = tenants.get(format_id("tenant", change.tenant_id))
        held = (change.changes, change.hash)
        if said is None or held in {(p["changes"], p["hash"]) for p in said["pending"]}:
            return False
        now_in_force = (said["policy_hash"], said["enrolment_hash"])
        async with db.write() as s:
            if change.hash not in now_in_force:
                await _end(s, change, DROPPED, at=clock.now())
                return True
            await _take_over(s, change, at=clock.now())
            await _end(s, change, IN_FORCE, at=clock.now())
        return True

    return await each(logger, "change", waiting, look)


async def _take_over(s: WriteSession, change: Waiting, *, at: datetime) -> None:
    signed = {k: v for k, v in change.document.items() if k != "consents"}
    if change.changes == Changing.POLICY:
        await policies.install(s, signed, at=at)
        return
    body = signed["enrolment"]
    for p in body["people"]:
        id_, key = PersonId(parse_id("person", p["person"])), bytes.fromhex(p["public_key"])
        await people.ensure(s, change.tenant_id, id_, p["role"], key, at=at)
    for text in body["revoked"]:
        await people.remove(s, change.tenant_id, PersonId(parse_id("person", text)), at=at)


async def _end(
    s: WriteSession,
    change: Waiting,
    state: str,
    *,
    at: datetime,
    by: Mapping[str, str] | None = None,
) -> None:
    values = {"tenant": change.tenant_id, "hash": change.hash, "state": state}
    if (await s.execute(_END, values)).rowcount == 1:
        data = {"changes": change.changes, "hash": change.hash, "state": state, **(by or {})}
        await log.append(s, change.tenant_id, "change.ended", data, at=at)

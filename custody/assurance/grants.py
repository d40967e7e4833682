"""Whose personal data an auditor may take away: opened by treasury, to one token, for a time.

A grant holds ids and times. What it opens is read when a bundle is made for it, so an erased
person is in none from then on, and nothing has to be hunted down. Opening, taking and closing are
entries of the log: who, to whom, which people, and which file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from custody.audit import log
from custody.audit.behind import PutBack
from custody.core.canonical import Json
from custody.core.clock import iso_us
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import InvalidInput, NotFound, Refused
from custody.core.ids import TenantId, format_id, new_uuid7, parse_id
from custody.parties import customers, personal, tokens
from custody.parties.tokens import Role, Token

SUBJECTS_MAX = 100
TTL_MAX_S = 31 * 86_400
FIELD = "disclosure"
CLOSED = "disclosure.closed"


@dataclass(frozen=True, slots=True)
class Grant:
    """`subjects` are customers of the tenant; `token_id` is the auditor's token that may take."""

    id: UUID
    tenant_id: TenantId
    token_id: UUID
    subjects: Sequence[UUID]
    opened_by: str
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    closed_by: str | None

    @property
    def label(self) -> str:
        return format_id("disclosure", self.id)

    @property
    def people(self) -> list[str]:
        return [format_id("customer", subject) for subject in self.subjects]


_COLUMNS = (
    "id, tenant_id, token_id, subjects, opened_by, opened_at, expires_at, closed_at, closed_by"
)
_OPEN = f"""
INSERT INTO disclosures ({_COLUMNS})
VALUES (:id, :tenant, :token, :subjects, :by, :at, :expires, NULL, NULL) RETURNING {_COLUMNS}
"""


async def open_(
    s: WriteSession,
    tenant_id: TenantId,
    token_id: UUID,
    subjects: Sequence[UUID],
    *,
    by: str,
    at: datetime,
    ttl_s: int,
) -> Grant:
    """Let the auditor's token take bundles with these people's data, for `ttl_s` seconds.

    Raises InvalidInput, NotFound for a token or customer that the tenant does not have, or Refused
    for a token that is no living auditor's or a person without data.
    """
    _check(subjects, ttl_s)
    _require_auditor(await tokens.get(s, tenant_id, token_id, "auditor"), at)
    for subject in subjects:
        await customers.get(s, tenant_id, subject, "customers")
    await _require_data(s, tenant_id, subjects, "customers", at=at)
    values = {"id": new_uuid7(), "tenant": tenant_id, "token": token_id, "by": by, "at": at}
    values |= {"subjects": list(subjects), "expires": at + timedelta(seconds=ttl_s)}
    made = Grant(**(await s.one(_OPEN, values))._mapping)
    data: dict[str, Json] = {
        "disclosure": made.label,
        "token": format_id("token", token_id),
        "subjects": made.people,
        "by": by,
        "expires_at": iso_us(made.expires_at),
    }
    await log.append(s, tenant_id, "disclosure.opened", data, at=at)
    return made


def _check(subjects: Sequence[UUID], ttl_s: int) -> None:
    if not 1 <= len(subjects) <= SUBJECTS_MAX or len(set(subjects)) != len(subjects):
        raise InvalidInput("customers", f"must name 1 to {SUBJECTS_MAX} customers, each once")
    if not 1 <= ttl_s <= TTL_MAX_S:
        raise InvalidInput("ttl_s", f"must be 1 to {TTL_MAX_S}")


def _require_auditor(token: Token, at: datetime) -> None:
    alive = token.revoked_at is None and at < token.expires_at
    if token.role is not Role.AUDITOR or not alive:
        raise Refused("auditor", "must be an auditor's token, neither revoked nor expired")


async def _require_data(
    s: ReadSession, tenant_id: TenantId, subjects: Sequence[UUID], field: str, *, at: datetime
) -> None:
    """`at` is when it was opened: what somebody gives anew after an erasure was not."""
    known = await personal.on_file(s, tenant_id, subjects, at=at)
    for subject in subjects:
        if subject not in known:
            name = format_id("customer", subject)
            raise Refused(
                field, "must name people whose data is on file", f"{name} has none, or was erased"
            )


async def usable(
    s: ReadSession, tenant_id: TenantId, grant_id: UUID, token_id: UUID, *, at: datetime
) -> Grant:
    """The grant, if this token may take what it opens now.

    Raises NotFound, also for another tenant's, or Refused: another's, closed, expired, or about
    somebody who was erased. Then nothing is told of the others either.
    """
    grant = await get(s, tenant_id, grant_id)
    if grant.token_id != token_id:
        raise Refused(FIELD, "may be taken only with the auditor's token that it is opened to")
    if grant.closed_at is not None:
        raise Refused(FIELD, "must not be closed")
    if at >= grant.expires_at:
        raise Refused(FIELD, "must not have expired", expires_at=iso_us(grant.expires_at))
    await _require_data(s, tenant_id, grant.subjects, FIELD, at=grant.opened_at)
    return grant


async def record_taken(
    s: WriteSession, grant: Grant, token_id: UUID, digest: str, *, at: datetime
) -> None:
    """Tell the log of a bundle that is about to be handed out; commit before it is.

    Looks once more, since to make it took a while. Raises what `usable` does. The digest
    (`archive.digest`) says which file it was and nothing about its people: their salts are in it,
    and are erased with them.
    """
    await usable(s, grant.tenant_id, grant.id, token_id, at=at)
    data: dict[str, Json] = {
        "disclosure": grant.label,
        "token": format_id("token", token_id),
        "subjects": grant.people,
        "bundle": digest,
    }
    await log.append(s, grant.tenant_id, "disclosure.taken", data, at=at)


_CLOSE = f"""
UPDATE disclosures SET closed_at = :at, closed_by = :by
WHERE tenant_id = :tenant AND id = :id AND closed_at IS NULL RETURNING {_COLUMNS}
"""


async def close(
    s: WriteSession, tenant_id: TenantId, grant_id: UUID, *, by: str, at: datetime
) -> Grant:
    """Idempotent: a second call changes nothing. Raises NotFound."""
    keys = {"tenant": tenant_id, "id": grant_id}
    row = await s.first(_CLOSE, {**keys, "by": by, "at": at})
    if row is None:
        return await get(s, tenant_id, grant_id)
    grant = Grant(**row._mapping)
    await log.append(s, tenant_id, CLOSED, {"disclosure": grant.label, "by": by}, at=at)
    return grant


async def take_over(s: WriteSession, entries: Sequence[PutBack]) -> None:
    """Close what the log says is closed, in a database that came back from a backup. Nothing is
    logged: the entries, of kind `CLOSED`, are there."""
    for entry in entries:
        id_ = parse_id("disclosure", str(entry.data["disclosure"]))
        keys = {"tenant": entry.tenant_id, "id": id_}
        await s.execute(_CLOSE, {**keys, "by": str(entry.data["by"]), "at": entry.at})


async def get(s: ReadSession, tenant_id: TenantId, grant_id: UUID) -> Grant:
    """Raises NotFound, also for another tenant's."""
    row = await s.first(
        f"SELECT {_COLUMNS} FROM disclosures WHERE tenant_id = :tenant AND id = :id",
        {"tenant": tenant_id, "id": grant_id},
    )
    if row is None:
        raise NotFound("disclosure", format_id("disclosure", grant_id), FIELD)
    return Grant(**row._mapping)


async def listing(
    s: ReadSession, tenant_id: TenantId, token_id: UUID | None, cursor: UUID | None, limit: int
) -> list[Grant]:
    """Up to `limit` grants in order of id, after `cursor`; of one token, or of all."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM disclosures WHERE tenant_id = :tenant"
        " AND (CAST(:token AS uuid) IS NULL OR token_id = :token)"
        " AND (CAST(:cursor AS uuid) IS NULL OR id > :cursor) ORDER BY id LIMIT :limit",
        {"tenant": tenant_id, "token": token_id, "cursor": cursor, "limit": limit},
    )
    return [Grant(**row._mapping) for row in rows]

"""Go on after a restore: the published log is history and stays, and what this database lacks of it
is put back, by two people's word.

They sign, per tenant, what it lost: how many entries of which kinds, and which seals of its ledger
have no journals any more. The founding tenant's two let the log go on; that a tenant's journals are
gone, its own two accept, for its own evidence shows no other tenant's people. All is one commit:
the entries with their numbers, the checkpoint, seals and epochs after which counting goes on,
customers, addresses, people, tokens, disclosures and policies as the log says, and the entry
`log.restored`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from custody.assurance import enrolled, grants
from custody.assurance.solvency import restored as epochs
from custody.audit import behind, log, note, unpublished
from custody.audit.behind import Newest
from custody.audit.disk import Disk
from custody.core.canonical import Json
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Refused
from custody.core.ids import TenantId, format_id
from custody.core.intents import Approval
from custody.core.ports import Signer
from custody.core.serialization import loads
from custody.deposits import restored as addresses
from custody.ledger import seal_restored
from custody.parties import restored as parties
from custody.policy import restored as policies
from custody.policy import two_people

SCHEMA = "moorage.log-restore/1"
KIND = "log.restored"
OF = "the restore as it is now"


@dataclass(frozen=True, slots=True)
class RestoreDeps:
    """`founder` is the tenant whose treasury lets the log go on; `folder` has the published log.
    `signed` asks the signer for the size that it signed last."""

    db: Database
    clock: Clock
    signer: Signer
    key: note.LogKey
    folder: Path
    founder: TenantId
    signed: Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Range:
    """Entries from `numbered` to `size` (excluded) were put back; `root` is the log's at `size`."""

    numbered: int
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one tenant's people sign of one restore, and whether they did.

    `needed`: the log waits for it, or the tenant's ledger lacks journals.
    """

    tenant_id: TenantId
    document: dict[str, Json]
    needed: bool
    accepted: bool

    @property
    def digest(self) -> str:
        return two_people.digest(self.document)


class _Shown(Exception):
    """Ends a transaction that was only to be looked at."""


async def look(deps: RestoreDeps) -> list[Row]:
    """What there is to sign: of a database that is behind as if it were put back, and of earlier
    restores. Changes nothing. Raises what `accept` does, signatures aside."""
    rows: list[Row] = []
    signed = await deps.signed()
    last = await behind.newest(deps.folder, deps.key, deps.signer, signed, sign=False)
    try:
        async with deps.db.write() as s:
            lacks = await _put_back(s, deps, last, deps.clock.now())
            rows = await _rows(s, deps, lacks)
            raise _Shown
    except _Shown:
        return rows


async def accept(deps: RestoreDeps, given: Sequence[Approval]) -> list[Row]:
    """Put back what is missing, if the founding tenant's two signed that, and log all that was
    signed; what there is to sign afterwards. The same again changes nothing. Tiles that the lost
    rows left behind, and nobody signed, go.

    Raises Forked where the database is not the beginning of the published log, or that is not what
    was signed; Refused where the folder lacks a file, or who signed was enrolled by what was lost,
    Conflict where this database gave a number of
    the log to something else since it came back; and what `two_people.require` does.
    """
    at = deps.clock.now()
    last = await behind.newest(deps.folder, deps.key, deps.signer, await deps.signed())
    async with deps.db.write() as s:
        lacks = await _put_back(s, deps, last, at)
        known = await _rows(s, deps, lacks)
        if not {a.intent_digest for a in given} <= {row.digest for row in known}:
            raise Refused("approvals.digest", f"must be of {OF}")
        for row in known:
            waits_for_it = lacks is not None and _is_of(row, deps.founder, lacks)
            own = [a for a in given if a.intent_digest == row.digest]
            if not row.accepted and (own or waits_for_it):
                await _log(s, row, own or given, at, is_founder=row.tenant_id == deps.founder)
        if not await behind.has_numbered(s, last.unsigned):
            await asyncio.to_thread(unpublished.drop, deps.folder, last.head.size, Disk())
        return await _rows(s, deps, None)


def _is_of(row: Row, tenant_id: TenantId, of: Range) -> bool:
    return row.tenant_id == tenant_id and row.document["size"] == str(of.size)


async def _put_back(s: WriteSession, deps: RestoreDeps, last: Newest, at: datetime) -> Range | None:
    """Everything but the people's word; None where nothing is missing."""
    gap = await behind.find(s, last)
    if gap is None:
        return None
    begin, end = gap.numbered, gap.head.size
    await behind.put_back(s, deps.folder, gap, at=at)
    await parties.take_over(s, await behind.of_kinds(s, begin, end, *parties.KINDS))
    await addresses.take_over(s, await behind.of_kinds(s, begin, end, addresses.KIND))
    await policies.take_over(s, await behind.of_kinds(s, begin, end, policies.KIND))
    await grants.take_over(s, await behind.of_kinds(s, begin, end, grants.CLOSED))
    await seal_restored.put_back(s, begin, end)
    await epochs.put_back(s, begin, end, at=at)
    return Range(begin, end, f"sha256:{gap.head.root.hex()}")


_RESTORES = """
SELECT e.tenant_id, e.body FROM audit_entries e WHERE e.kind = :kind ORDER BY e.at, e.id
"""
_KINDS = """
SELECT e.tenant_id, e.kind, count(*) AS entries
FROM audit_sequence q JOIN audit_entries e ON e.id = q.entry_id
WHERE q.seq >= :begin AND q.seq < :end GROUP BY e.tenant_id, e.kind ORDER BY e.tenant_id, e.kind
"""


async def _rows(s: ReadSession, deps: RestoreDeps, lacks: Range | None) -> list[Row]:
    """Every restore's documents, oldest first; `lacks` is one that nobody has accepted yet."""
    done: dict[Range, set[UUID]] = {}
    for row in await s.all(_RESTORES, {"kind": KIND}):
        data = loads(row.body)["data"]
        of = Range(int(data["numbered"]), int(data["size"]), data["root"])
        done.setdefault(of, set()).add(row.tenant_id)
    every = [*done, *([lacks] if lacks else [])]
    return [row for of in every for row in await _of(s, deps, of, done.get(of, set()))]


async def _of(s: ReadSession, deps: RestoreDeps, of: Range, accepted: set[UUID]) -> list[Row]:
    kinds: dict[UUID, list[Json]] = {deps.founder: []}
    for row in await s.all(_KINDS, {"begin": of.numbered, "end": of.size}):
        counted: Json = {"kind": row.kind, "entries": str(row.entries)}
        kinds.setdefault(row.tenant_id, []).append(counted)
    rows = []
    for tenant_id, lost in kinds.items():
        seals = await seal_restored.lost(s, tenant_id, of.numbered, of.size)
        body = _document(deps, TenantId(tenant_id), of, lost, [x.to_json() for x in seals])
        needed = tenant_id == deps.founder or bool(seals)
        rows.append(Row(TenantId(tenant_id), body, needed, tenant_id in accepted))
    return rows


def _document(
    deps: RestoreDeps,
    tenant_id: TenantId,
    of: Range,
    lost: list[Json],
    seals: Sequence[dict[str, str]],
) -> dict[str, Json]:
    """What two of the tenant's treasury sign."""
    return {
        "schema": SCHEMA,
        "tenant": format_id("tenant", tenant_id),
        "origin": deps.key.name,
        "numbered": str(of.numbered),
        "size": str(of.size),
        "root": of.root,
        "entries": lost,
        "seals": [dict(x) for x in seals],
    }


async def _log(
    s: WriteSession, row: Row, given: Sequence[Approval], at: datetime, *, is_founder: bool
) -> None:
    body = row.document
    agreed = await two_people.require(s, row.tenant_id, body, given, at=at, of=OF)
    await _require_known_before(s, row, given, is_founder)
    named = {name: body[name] for name in ("origin", "numbered", "size", "root", "seals")}
    await log.append(s, row.tenant_id, KIND, {**named, **agreed}, at=at)


async def _require_known_before(
    s: ReadSession, row: Row, given: Sequence[Approval], is_founder: bool
) -> None:
    """An auditor believes nobody else, and what was logged stays. Where the founding tenant has no
    two such people any more, the log goes on without an auditor's belief: money must not wait."""
    numbered = int(str(row.document["numbered"]))
    known = await enrolled.treasury(s, row.tenant_id, numbered)
    signed = {format_id("person", a.person_id) for a in given} & set(known)
    if len(signed) < two_people.PEOPLE and not (is_founder and len(known) < two_people.PEOPLE):
        raise Refused("approvals.person", f"two must have been enrolled before entry {numbered}")

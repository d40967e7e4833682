"""Ledger-only requests, each done once: idempotency key, postings, audit entry, answer, one commit.

For what is asked thousands of times a second. What it does is what `idempotency.begin`, `post`,
`log.append` and `idempotency.finish` do one by one in a transaction; here one SQL call does it for
everybody who asks at the moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from custody.audit import log
from custody.core.canonical import Json
from custody.core.errors import IdempotencyInFlight, IdempotencyMismatch
from custody.core.idempotency import StoredAnswer
from custody.core.ids import new_uuid7
from custody.core.native import NativeSession, positional
from custody.ledger import posting
from custody.ledger.batch import Epoch, GroupCommit, groups_of
from custody.ledger.posting import Transfer

_OWN = (
    *("owner", "principal", "key", "hash", "size", "entry", "entry_kind", "entry_at"),
    *("entry_body", "status", "answer"),
)
_SQL = (
    "SELECT verdict, status, body FROM ledger_post_once("
    f"{', '.join(f':{name}' for name in (*_OWN, *posting.PARAMETERS))})"
)
_CALL, _ = positional(_SQL)
BATCH_MAX = 500
"""Each request takes an advisory lock, of which a server has some thousands."""

Verdict = StoredAnswer | IdempotencyInFlight | IdempotencyMismatch | None


@dataclass(frozen=True, slots=True)
class Request:
    """Whose request it is, its key, and the hash of its input."""

    tenant_id: UUID
    principal: str
    key: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with what it does: its transfers, its audit entry, its answer if all is stored."""

    request: Request
    transfers: Sequence[Transfer]
    kind: str
    at: datetime
    entry_id: UUID
    entry: bytes
    answer: StoredAnswer


def asked(
    request: Request,
    transfers: Sequence[Transfer],
    kind: str,
    data: Mapping[str, Json],
    answer: StoredAnswer,
    *,
    at: datetime,
) -> Asked:
    """Raises InvalidInput for a malformed transfer or entry."""
    posting.check(transfers)
    entry_id = new_uuid7()
    entry = log.encode(entry_id, request.tenant_id, kind, data, at)
    return Asked(request, transfers, kind, at, entry_id, entry, answer)


async def post_alone(s: NativeSession, one: Asked) -> StoredAnswer | None:
    """The answer: this one, or that of the first time. None: the ledger refuses, nothing is stored.

    The transfers need not be a group: if one of them is refused, none is stored. Raises
    IdempotencyInFlight or IdempotencyMismatch.
    """
    params = _encode([one], epoch=None, whole=True)
    (row,) = await s.all(_SQL, params)
    return _raised(_verdict(row))


class OnceBatcher:
    """`post_alone` for many at once, by group commit. Built once a process, in the wiring."""

    def __init__(self, url: str, epoch: Epoch | None = None, **options: int) -> None:
        self._epoch = epoch or Epoch()
        self._commit: GroupCommit[Asked, Verdict] = GroupCommit(
            url, self._call, **{"batch_max": BATCH_MAX, **options}
        )
        self._whole = True

    async def post(self, one: Asked) -> StoredAnswer | None:
        """As `post_alone`. Requires one transfer or one linked group.

        Raises Overloaded and Unavailable besides, as `Batcher.post` does.
        """
        request = one.request
        key = ("key", request.tenant_id, request.principal, request.key)
        keys = groups_of(one.transfers) | {key}
        return _raised(await self._commit.submit(one, len(one.transfers), keys))

    async def close(self) -> None:
        await self._commit.close()

    async def _call(self, connection: Any, batch: Sequence[Asked], repeated: bool) -> list[Verdict]:
        """While some are not new, those are answered and the rest is sent again without them.

        A `repeated` batch may meet its own first sending, which the server has not ended yet.
        """
        verdicts: dict[UUID, Verdict] = {}
        rest = list(batch)
        while rest:
            params = _encode(rest, epoch=self._epoch.value, whole=self._whole)
            rows = await self._epoch.fenced(connection.fetch(_CALL, *params.values()))
            self._whole = all(row[0] != "refused" for row in rows)
            if repeated and any(row[0] == "in_flight" for row in rows):
                raise asyncpg.InterfaceError("the first sending is still under way")
            again = []
            for one, row in zip(rest, rows, strict=True):
                if row[0] == "again":
                    again.append(one)
                else:
                    verdicts[one.entry_id] = _verdict(row)
            rest = again
        return [verdicts[one.entry_id] for one in batch]


def _encode(batch: Sequence[Asked], *, epoch: int | None, whole: bool) -> dict[str, Any]:
    requests = [one.request for one in batch]
    transfers = [t for one in batch for t in one.transfers]
    own: dict[str, Any] = {
        "owner": [r.tenant_id for r in requests],
        "principal": [r.principal for r in requests],
        "key": [r.key for r in requests],
        "hash": [r.hash for r in requests],
        "size": [len(one.transfers) for one in batch],
        "entry": [one.entry_id for one in batch],
        "entry_kind": [one.kind for one in batch],
        "entry_at": [one.at for one in batch],
        "entry_body": [one.entry for one in batch],
        "status": [one.answer.status for one in batch],
        "answer": [one.answer.body for one in batch],
    }
    return own | posting.encode(transfers, epoch=epoch, whole=whole)


def _verdict(row: Any) -> Verdict:
    if row[0] == "in_flight":
        return IdempotencyInFlight("the first request with this Idempotency-Key is still running")
    if row[0] == "mismatch":
        return IdempotencyMismatch("Idempotency-Key", "was used with another request")
    return None if row[0] == "refused" else StoredAnswer(row[1], row[2])


def _raised(verdict: Verdict) -> StoredAnswer | None:
    if isinstance(verdict, Exception):
        raise verdict
    return verdict

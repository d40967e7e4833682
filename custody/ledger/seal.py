"""Seal journals in batches: one entry of the log a tenant and batch, with the root over them.

`unsealed_calls` has a row for each call of `ledger_post` whose postings are written and that no
seal has: it appears with the commit, so a call that drew its numbers early and committed late is
sealed late, and never passed over. Seals, runs, the entries and the end of the waiting are one
commit. Of one account a later move is never sealed before an earlier one, since a call that waited
for the locks of another drew its numbers after that one had committed. A call whose rows are not
what was posted waits, and after it all calls of its tenants; others do not notice.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.audit import log, merkle
from custody.core.canonical import Json
from custody.core.clock import Clock
from custody.core.db import Database, ReadSession, WriteSession
from custody.core.errors import Broken
from custody.core.ids import format_id
from custody.ledger import journal
from custody.ledger.posting import CALL_MAX

STEP = 16_384
"""Transfers of one transaction: about half a second."""
SEAL_MAX = 1024
"""Who proves one journal reads all of its seal."""
ASSETS_MAX = 64
"""An entry of the log has at most 64 KiB; totals take up to 500 bytes an asset."""
TOLD = 10
"""Broken calls that an error names."""
NEAR = 64 * CALL_MAX
"""Calls with no more numbers than that between them are read in one go."""

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('ledger.seals', 13))"
_WAITING = """
SELECT first_seq, transfers FROM (
    SELECT first_seq, transfers,
           sum(transfers) OVER (ORDER BY first_seq) - transfers AS before
    FROM (SELECT * FROM unsealed_calls WHERE first_seq > :after ORDER BY first_seq LIMIT :limit)
         AS oldest
) AS c WHERE before < :limit ORDER BY first_seq
"""
_JOURNALS = f"""
{journal.SELECT} FROM transfers t {journal.ACCOUNTS}
WHERE t.seq >= :low AND t.seq < :high AND t.seq - t.seq % {CALL_MAX} = ANY(:calls)
"""
SEALED = "DELETE FROM unsealed_calls WHERE first_seq = ANY(:first)"
_LAST = """
SELECT number, start, transfers FROM ledger_seals
WHERE tenant_id = :tenant ORDER BY number DESC LIMIT 1
"""
SEAL = """
INSERT INTO ledger_seals
    (tenant_id, number, start, transfers, first_id, last_id, root, entry_id, created_at)
VALUES (:tenant, :number, :start, :transfers, :first, :last, :root, :entry, :at)
"""
RUN = """
INSERT INTO ledger_sealed_runs (begin_seq, tenant_id, end_seq, number, place, transfers)
VALUES (:begin, :tenant, :end, :number, :place, :transfers)
"""


@dataclass(frozen=True, slots=True)
class _Head:
    """Where the next seal of a tenant goes on."""

    number: int
    start: int


@dataclass(slots=True)
class _Pass:
    """One way through what waits: what it is past, and who has to wait because of a broken call.

    A call that commits late with a lower number is for the next pass. Of a call whose rows are all
    gone nobody knows the tenants.
    """

    after: int = -1
    tenants: set[UUID] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def require_whole(self) -> None:
        """Raises Broken, once all others are sealed."""
        if self.broken:
            waits = (
                ", ".join(sorted(format_id("tenant", t) for t in self.tenants)) or "nobody known"
            )
            raise Broken(f"not sealed: {'; '.join(self.broken[:TOLD])}; waits for that: {waits}")


async def step(db: Database, clock: Clock, limit: int = STEP) -> int:
    """Seal the oldest calls that wait and can be sealed, about `limit` transfers; how many.

    Raises Broken, after that, when rows are not what was posted: these calls wait, and their
    tenants' later ones.
    """
    now = _Pass()
    count = await _next(db, clock, limit, now)
    now.require_whole()
    return count


async def run_all(db: Database, clock: Clock) -> int:
    """Seal everything that waits now. Raises what `step` does."""
    now, total = _Pass(), 0
    while count := await _next(db, clock, STEP, now):
        total += count
    now.require_whole()
    return total


async def _next(db: Database, clock: Clock, limit: int, now: _Pass) -> int:
    """One commit; 0 when the pass is at its end."""
    async with db.write() as s:
        await s.execute(LOCK)
        while calls := await s.all(_WAITING, {"limit": limit, "after": now.after}):
            now.after = calls[-1].first_seq
            whole = _whole(calls, await _journals(s, calls), now)
            if whole:
                return await _seal_calls(s, whole, clock)
    return 0


def _whole(
    calls: Sequence[Row[Any]], rows: Sequence[Row[Any]], now: _Pass
) -> dict[int, list[Row[Any]]]:
    """First number -> transfers of each call that can be sealed; what cannot is noted in `now`."""
    of_call: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        of_call[row.seq - row.seq % CALL_MAX].append(row)
    whole = {}
    for call in calls:
        found = of_call[call.first_seq]
        tenants = {row.tenant_id for row in found}
        fault = _fault(call, found)
        if fault:
            now.broken.append(f"call {call.first_seq}: {fault}")
        if fault or tenants & now.tenants:
            now.tenants |= tenants
        else:
            whole[call.first_seq] = found
    return whole


def _fault(call: Row[Any], rows: Sequence[Row[Any]]) -> str:
    """In which way the rows are not what was posted; empty if they are."""
    if len(rows) != call.transfers:
        return f"{call.transfers} transfers were posted, and {len(rows)} are there"
    lost = [str(row.id) for row in rows if not journal.has_accounts(row)]
    return f"transfer {lost[0]} has no two accounts of one asset" if lost else ""


async def _seal_calls(s: WriteSession, whole: dict[int, list[Row[Any]]], clock: Clock) -> int:
    rows = list(itertools.chain.from_iterable(whole.values()))
    rows.sort(key=lambda row: (row.tenant_id, row.seq))
    for tenant_id, own in itertools.groupby(rows, key=lambda row: row.tenant_id):
        await _seal_tenant(s, tenant_id, list(own), clock)
    await s.execute(SEALED, {"first": list(whole)})
    return len(rows)


async def _journals(s: ReadSession, calls: Sequence[Row[Any]]) -> list[Row[Any]]:
    """All transfers of the calls. Who waits since long ago costs no look at all that came since."""
    rows: list[Row[Any]] = []
    for part in _spans([call.first_seq for call in calls]):
        bounds = {"low": part[0], "high": part[-1] + CALL_MAX, "calls": part}
        rows += await s.all(_JOURNALS, bounds)
    return rows


def _spans(first: Sequence[int]) -> Iterator[list[int]]:
    """Ascending numbers in parts where they are near each other."""
    part: list[int] = []
    for number in first:
        if part and number - part[-1] > NEAR:
            yield part
            part = []
        part.append(number)
    if part:
        yield part


async def _seal_tenant(
    s: WriteSession, tenant_id: UUID, rows: Sequence[Row[Any]], clock: Clock
) -> None:
    last = await s.first(_LAST, {"tenant": tenant_id})
    head = _Head(1, 0) if last is None else _Head(last.number + 1, last.start + last.transfers)
    for part in _parts(rows):
        await _seal(s, tenant_id, head, part, clock)
        head = _Head(head.number + 1, head.start + len(part))


def _parts(rows: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    """What goes into one seal: at most so many journals of at most so many assets."""
    part: list[Row[Any]] = []
    assets: set[str] = set()
    for row in rows:
        if len(part) == SEAL_MAX or (len(assets) == ASSETS_MAX and row.asset_id not in assets):
            yield part
            part, assets = [], set()
        part.append(row)
        assets.add(row.asset_id)
    if part:
        yield part


async def _seal(
    s: WriteSession, tenant_id: UUID, head: _Head, part: Sequence[Row[Any]], clock: Clock
) -> None:
    """One entry of the log, the seal's row, and which transfers are in it."""
    journals = [journal.fields(row) for row in part]
    root = merkle.root(journal.leaf_hashes(journals))
    entry: dict[str, Json] = {
        "seal": str(head.number),
        "start": str(head.start),
        "count": str(len(part)),
        "first": format_id("transfer", part[0].id),
        "last": format_id("transfer", part[-1].id),
        "totals": journal.totals(journals),
        "root": f"sha256:{root.hex()}",
    }
    at = clock.now()
    entry_id = await log.append(s, tenant_id, "ledger.sealed", entry, at=at)
    seal = {
        "tenant": tenant_id,
        "number": head.number,
        "start": head.start,
        "transfers": len(part),
        "first": part[0].id,
        "last": part[-1].id,
        "root": root,
        "entry": entry_id,
        "at": at,
    }
    await s.execute(SEAL, seal)
    await s.execute(RUN, list(runs(tenant_id, head.number, part)))


def runs(tenant_id: UUID, number: int, part: Sequence[Row[Any]]) -> Iterator[dict[str, Any]]:
    """The transfers of each call that this seal has, which stand next to each other in it."""
    place = 0
    for _, of_call in itertools.groupby(part, key=lambda row: row.seq // CALL_MAX):
        run = list(of_call)
        yield {
            "begin": run[0].seq,
            "tenant": tenant_id,
            "end": run[-1].seq,
            "number": number,
            "place": place,
            "transfers": len(run),
        }
        place += len(run)

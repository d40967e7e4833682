"""Seals that the log has and a ledger that came back from a backup does not.

The log says of each its number, its first and last journal, its count and its root. Where the
restored ledger has exactly those journals, waiting for a seal, that seal is theirs again: the root
proves it. All others stay in the log without journals here, and what is left of them is sealed
again later, under the numbers after the highest in the log. Of one tenant nothing is matched after
a seal that was not, or a hold's end could stand before the hold.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from custody.audit import behind, merkle
from custody.audit.behind import PutBack
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Broken, Conflict
from custody.core.ids import format_id, parse_id
from custody.ledger import journal, postings, seal
from custody.ledger.posting import CALL_MAX

KIND = "ledger.sealed"

_KNOWN = "SELECT tenant_id, number, entry_id FROM ledger_seals WHERE tenant_id = ANY(:tenants)"
_UNSEALED = f"""
{journal.SELECT} FROM unsealed_calls u
JOIN transfers t ON t.seq >= u.first_seq AND t.seq < u.first_seq + {CALL_MAX}
{journal.ACCOUNTS} WHERE t.tenant_id = ANY(:tenants) ORDER BY t.tenant_id, t.seq
"""
_CALLS = "SELECT first_seq, transfers FROM unsealed_calls"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal as the log tells of it; `part` are its journals, None where they are not here."""

    entry: PutBack
    part: Sequence[Row[Any]] | None = None

    @property
    def number(self) -> int:
        return int(str(self.entry.data["seal"]))

    @property
    def calls(self) -> set[int]:
        return {row.seq - row.seq % CALL_MAX for row in self.part or ()}


class _Waiting:
    """A tenant's journals that wait for a seal, in order."""

    def __init__(self, rows: Sequence[Row[Any]] = ()) -> None:
        self._rows, self._places = list[Row[Any]](), dict[UUID, int]()
        for row in rows:
            self.add(row)

    def add(self, row: Row[Any]) -> None:
        self._places[row.id] = len(self._rows)
        self._rows.append(row)

    def take(self, said: PutBack) -> list[Row[Any]] | None:
        """The journals of a seal, which wait no more; None unless just those are here.

        There may be many seals and many journals: each costs what it has, whatever else waits.
        """
        ends = [parse_id("transfer", str(said.data[name])) for name in ("first", "last")]
        if not all(end in self._places for end in ends):
            return None
        first, last = (self._places[end] for end in ends)
        part = [row for row in self._rows[first : last + 1] if row.id in self._places]
        if str(len(part)) != said.data["count"]:
            return None
        root = merkle.root(journal.leaf_hashes(journal.fields(row) for row in part))
        if f"sha256:{root.hex()}" != said.data["root"]:
            return None
        for row in part:
            del self._places[row.id]
        return part


async def put_back(s: WriteSession, begin: int, end: int) -> None:
    """The seals whose entries are numbered from `begin` to `end` get their rows, and those whose
    journals are all here get them. Raises Conflict where this ledger sealed others since it came
    back: one number would stand for two seals."""
    await s.execute(seal.LOCK)
    while await postings.follow(s) >= postings.STEP:
        pass
    entries = await behind.of_kinds(s, begin, end, KIND)
    tenants = list({e.tenant_id for e in entries})
    known = {(r.tenant_id, r.number): r.entry_id for r in await s.all(_KNOWN, {"tenants": tenants})}
    for entry in entries:
        number = Sealed(entry).number
        if known.get((entry.tenant_id, number), entry.id) != entry.id:
            raise Conflict(
                f"seal {number} of {format_id('tenant', entry.tenant_id)} was made again after this"
                " database came back: restore the backup once more, and begin with the log"
            )
    new = [entry for entry in entries if entry.id not in known.values()]
    found = _matched(await _waiting(s, tenants), new)
    await _insert(s, _only_whole(found, await _calls(s)))


async def _waiting(s: ReadSession, tenants: Sequence[UUID]) -> dict[UUID, _Waiting]:
    found: dict[UUID, _Waiting] = defaultdict(_Waiting)
    for row in await s.all(_UNSEALED, {"tenants": list(tenants)}):
        if not journal.has_accounts(row):
            raise Broken(f"transfer {row.id} has no two accounts of one asset")
        found[row.tenant_id].add(row)
    return found


async def _calls(s: ReadSession) -> dict[int, int]:
    """First number -> transfers of each call that waits."""
    return {row.first_seq: row.transfers for row in await s.all(_CALLS)}


def _matched(waiting: dict[UUID, _Waiting], entries: Iterable[PutBack]) -> list[Sealed]:
    """Each seal with its journals, up to the tenant's first one without them."""
    found, ended = [], set[UUID]()
    for entry in entries:
        part = None if entry.tenant_id in ended else waiting[entry.tenant_id].take(entry)
        if part is None:
            ended.add(entry.tenant_id)
        found.append(Sealed(entry, part))
    return found


def _only_whole(found: list[Sealed], calls: dict[int, int]) -> list[Sealed]:
    """A call is sealed whole or not at all: a seal that has a part of one, of which another
    tenant's part is in no seal, goes without, and its tenant's later ones."""
    while True:
        in_seals: dict[int, int] = defaultdict(int)
        for one in found:
            for row in one.part or ():
                in_seals[row.seq - row.seq % CALL_MAX] += 1
        torn = {call for call, count in in_seals.items() if count != calls[call]}
        if not torn:
            return found
        ended: set[UUID] = set()
        for i, one in enumerate(found):
            if one.entry.tenant_id in ended or one.calls & torn:
                ended.add(one.entry.tenant_id)
                found[i] = Sealed(one.entry)


async def _insert(s: WriteSession, found: Sequence[Sealed]) -> None:
    whole: set[int] = set()
    for one in found:
        await s.execute(seal.SEAL, _row(one))
        if one.part is not None:
            runs = list(seal.runs(one.entry.tenant_id, one.number, one.part))
            await s.execute(seal.RUN, runs)
            whole |= one.calls
    await s.execute(seal.SEALED, {"first": sorted(whole)})


def _row(one: Sealed) -> dict[str, Any]:
    data = {name: str(value) for name, value in one.entry.data.items()}
    return {
        "tenant": one.entry.tenant_id,
        "number": one.number,
        "start": int(data["start"]),
        "transfers": int(data["count"]),
        "first": parse_id("transfer", data["first"]),
        "last": parse_id("transfer", data["last"]),
        "root": bytes.fromhex(data["root"].removeprefix("sha256:")),
        "entry": one.entry.id,
        "at": one.entry.at,
    }


@dataclass(frozen=True, slots=True)
class Lost:
    """Seals of a tenant, one after the other, whose journals this ledger does not have."""

    first: int
    last: int
    journals: int

    def to_json(self) -> dict[str, str]:
        return {
            "first": str(self.first),
            "last": str(self.last),
            "journals": str(self.journals),
        }


_LOST = """
SELECT g.number, g.transfers FROM ledger_seals g JOIN audit_sequence q ON q.entry_id = g.entry_id
WHERE g.tenant_id = :tenant AND q.seq >= :begin AND q.seq < :end AND NOT EXISTS (
    SELECT FROM ledger_sealed_runs r WHERE r.tenant_id = g.tenant_id AND r.number = g.number)
ORDER BY g.number
"""


async def lost(s: ReadSession, tenant_id: UUID, begin: int, end: int) -> list[Lost]:
    """The tenant's seals without journals among the entries from `begin` to `end` (excluded)."""
    spans: list[Lost] = []
    for row in await s.all(_LOST, {"tenant": tenant_id, "begin": begin, "end": end}):
        if spans and spans[-1].last + 1 == row.number:
            before = spans.pop()
            spans.append(Lost(before.first, row.number, before.journals + row.transfers))
        else:
            spans.append(Lost(row.number, row.number, row.transfers))
    return spans

"""Breaks: the worklist of differences that reconciliation found. Who says what, and when.

open -> assigned -> explained or corrected -> closed. That one is corrected only reconciliation
says, which looks; people explain. A break whose second look agrees before anybody touched it ends
by itself: what one moment shows is not believed. One that is closed as explained is accepted while
its difference lasts, to the unit; any other is a new break.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from custody.assurance.lines import Line
from custody.assurance.report import Report
from custody.assurance.tolerance import Place
from custody.audit import log
from custody.audit.commit import commitment, new_salt
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.errors import Conflict, NotFound
from custody.core.ids import BreakerId, BreakId, TenantId, format_id, new_uuid7
from custody.policy import breakers

CONFIRMED = 2
"""Looks, at different blocks, after which a break is believed."""
RECONCILIATION = "reconciliation"


class State(StrEnum):
    OPEN = "open"
    ASSIGNED = "assigned"  # somebody looks into it
    EXPLAINED = "explained"  # a person knows why; the difference is still there
    CORRECTED = "corrected"  # it agrees again
    CLOSED = "closed"


_S = State
BY_PEOPLE: Mapping[State, frozenset[State]] = {
    _S.OPEN: frozenset({_S.OPEN, _S.ASSIGNED, _S.EXPLAINED}),
    _S.ASSIGNED: frozenset({_S.ASSIGNED, _S.EXPLAINED}),
    _S.EXPLAINED: frozenset({_S.EXPLAINED, _S.ASSIGNED, _S.CLOSED}),
    _S.CORRECTED: frozenset({_S.CORRECTED, _S.ASSIGNED, _S.CLOSED}),
    _S.CLOSED: frozenset(),
}
"""A note alone leaves the state as it is."""


@dataclass(frozen=True, slots=True)
class Break:
    """Base units at `block_number`, the last look that did not agree: `difference` is what is
    there beyond what the ledger (and what is listed) says, `beyond` what of it is not accepted.
    `looks` counts such looks. `moved`: others swept it to the treasury, which is being booked."""

    id: BreakId
    tenant_id: TenantId
    chain_id: int
    account: str
    asset_id: str
    place: str
    state: State
    assignee: str | None
    stops: bool
    looks: int
    block_number: int
    ledger: int
    there: int
    difference: int
    accepted: bool
    breaker_id: BreakerId | None
    reconciliation_id: UUID
    found_at: datetime
    closed_at: datetime | None
    beyond: int
    moved: bool

    @property
    def confirmed(self) -> bool:
        return self.looks >= CONFIRMED

    @property
    def key(self) -> tuple[str, str]:
        return self.account, self.asset_id


@dataclass(frozen=True, slots=True)
class Note:
    by: str
    note: str
    old_state: str
    new_state: str
    at: datetime


_COLUMNS = (
    "id, tenant_id, chain_id, account, asset_id, place, state, assignee, stops, looks,"
    " block_number, ledger, there, difference, accepted, breaker_id, reconciliation_id, found_at,"
    " closed_at, beyond, moved"
)


async def lock(s: WriteSession, tenant_id: TenantId) -> None:
    """Reports and people change a tenant's breaks and breakers one after the other."""
    key = {"key": f"breaks/{tenant_id}"}
    await s.execute("SELECT pg_advisory_xact_lock(hashtextextended(:key, 28))", key)


async def with_accepted(s: ReadSession, tenant_id: TenantId, lines: Sequence[Line]) -> list[Line]:
    """The lines with what people have accepted of their differences."""
    rows = await s.all(
        "SELECT account, asset_id, difference FROM breaks WHERE tenant_id = :t AND accepted",
        {"t": tenant_id},
    )
    known = {(r.account, r.asset_id): int(r.difference) for r in rows}
    return [replace(x, accepted=known.get((x.code, x.asset_id), 0)) for x in lines]


async def any_unconfirmed(s: ReadSession, tenant_id: TenantId, chain_id: int) -> bool:
    return bool(
        await s.scalar(
            "SELECT EXISTS (SELECT FROM breaks WHERE tenant_id = :tenant AND chain_id = :chain"
            " AND state NOT IN ('corrected', 'closed') AND looks < :confirmed)",
            {"tenant": tenant_id, "chain": chain_id, "confirmed": CONFIRMED},
        )
    )


# --- what a report says -----------------------------------------------------------------------


async def follow(s: WriteSession, report: Report, lines: Sequence[Line]) -> list[Break]:
    """Take over what a report says; the chain's breaks that are not closed, after it.

    Requires the lock, and runs in the commit of the report.
    """
    live = {b.key: b for b in await _live(s, report.tenant_id, report.chain_id)}
    read = {(x.code, x.asset_id): x for x in lines if x.there is not None}
    for key, line in read.items():
        known = live.get(key)
        if line.broken and known is None:
            await _find(s, report, line)
        elif line.broken and known is not None:
            await _again(s, report, known, line)
        elif known is not None:
            await _agrees(s, report, known)
        if line.accepted < 0 and line.difference == 0:
            await accept_no_more(s, report.tenant_id, key)
    for key, known in live.items():
        # A hold has a line only while it does not agree.
        if key not in read and known.place == Place.HOLD:
            await _agrees(s, report, known)
    return await _live(s, report.tenant_id, report.chain_id)


async def _live(s: ReadSession, tenant_id: TenantId, chain_id: int) -> list[Break]:
    return await _where(
        s,
        "tenant_id = :tenant AND chain_id = :chain AND state <> 'closed'",
        {"tenant": tenant_id, "chain": chain_id},
    )


async def _find(s: WriteSession, report: Report, line: Line) -> None:
    made = Break(
        BreakId(new_uuid7()), report.tenant_id, report.chain_id, line.code, line.asset_id,
        line.place.value, State.OPEN, None, line.stops, 1, report.block_number, line.ledger,
        line.there or 0, line.difference or 0, False, None, report.id, report.at, None,
        line.off, line.moved,
    )  # fmt: skip
    names = _COLUMNS.split(", ")
    await s.execute(
        f"INSERT INTO breaks ({_COLUMNS}) VALUES ({', '.join(':' + name for name in names)})",
        {name: getattr(made, name) for name in names} | {"state": made.state.value},
    )
    data: dict[str, Json] = {
        "break": format_id("break", made.id),
        "reconciliation": format_id("reconciliation", report.id),
        "account": made.account,
        "asset": made.asset_id,
        "place": made.place,
        "chain_id": str(report.chain_id),
        "block_number": str(report.block_number),
        "ledger": str(made.ledger),
        "there": str(made.there),
        "difference": str(made.difference),
        "beyond": str(made.beyond),
        "stops": made.stops,
    }
    await log.append(s, report.tenant_id, "break.found", data, at=report.at)


async def _again(s: WriteSession, report: Report, known: Break, line: Line) -> None:
    """Seen once more; the same block again is no second look."""
    later = report.block_number > known.block_number
    await s.execute(
        "UPDATE breaks SET looks = :looks, block_number = :block, ledger = :ledger,"
        " there = :there, difference = :difference, stops = :stops, beyond = :beyond,"
        " moved = :moved WHERE id = :id",
        {
            "id": known.id,
            "looks": known.looks + later,
            "block": max(report.block_number, known.block_number),
            "ledger": line.ledger,
            "there": line.there,
            "difference": line.difference,
            "stops": line.stops,
            "beyond": line.off,
            "moved": line.moved,
        },
    )
    changed = known.state is State.EXPLAINED and line.difference != known.difference
    if changed or known.state is State.CORRECTED:
        note = f"is {line.difference} at block {report.block_number}"
        await _move(s, known, State.OPEN, RECONCILIATION, note, at=report.at)


async def _agrees(s: WriteSession, report: Report, known: Break) -> None:
    note = f"agrees at block {report.block_number}"
    if known.state is State.OPEN and (known.moved or not known.confirmed):
        await _move(s, known, State.CLOSED, RECONCILIATION, note, at=report.at)
    elif known.state is not State.CORRECTED:
        # Should it come back, it is looked at twice again.
        await s.execute("UPDATE breaks SET looks = 0 WHERE id = :id", {"id": known.id})
        await _move(s, known, State.CORRECTED, RECONCILIATION, note, at=report.at)


async def accept_no_more(s: WriteSession, tenant_id: TenantId, key: tuple[str, str]) -> None:
    await s.execute(
        "UPDATE breaks SET accepted = false WHERE tenant_id = :tenant AND account = :account"
        " AND asset_id = :asset AND accepted",
        {"tenant": tenant_id, "account": key[0], "asset": key[1]},
    )


# --- what people say --------------------------------------------------------------------------


async def note(
    s: WriteSession,
    tenant_id: TenantId,
    id_: BreakId,
    text: str,
    new: State | None,
    *,
    by: str,
    at: datetime,
) -> Break:
    """A person's word on a break, with the state that it is in from then on (None: as before).

    `by` is the printed id of the person, or of the token that has none. Raises NotFound, or
    Conflict where the move is not allowed: what stops an asset is closed with its breaker.
    """
    await lock(s, tenant_id)
    known = await get(s, tenant_id, id_)
    state = known.state if new is None else new
    if state not in BY_PEOPLE[known.state]:
        raise Conflict(f"a break that is {known.state} cannot be {state} by a person's word")
    if state is State.CLOSED and await _takes_two(s, known):
        raise Conflict("two people close this one, with its breaker")
    if state is State.CLOSED:
        await close(s, known, by, text, at=at)
    else:
        await _move(s, known, state, by, text, at=at)
    return await get(s, tenant_id, id_)


async def _takes_two(s: ReadSession, known: Break) -> bool:
    if known.state is State.EXPLAINED and known.moved:
        return False  # nobody closes that at all
    # Nobody accepts alone that something is missing, whether or not that stops anything.
    if known.state is State.EXPLAINED and (known.stops or known.beyond < 0):
        return True
    if known.breaker_id is None:
        return False
    return (await breakers.get(s, known.tenant_id, known.breaker_id)).state in breakers.IN_FORCE


async def close(s: WriteSession, known: Break, by: str, text: str, *, at: datetime) -> None:
    """End one that is explained, whose difference is then accepted, or corrected.

    Raises Conflict for what others swept: once it were accepted, as much could leave the treasury
    and no line would show it. It is booked, and corrected by that.
    """
    if known.state is State.EXPLAINED:
        if known.moved:
            raise Conflict("a sweep by others is not accepted: it is booked, and then corrected")
        await accept_no_more(s, known.tenant_id, known.key)
        await s.execute(
            "UPDATE breaks SET accepted = difference <> 0 WHERE id = :id", {"id": known.id}
        )
    await _move(s, known, State.CLOSED, by, text, at=at)


async def _move(
    s: WriteSession, known: Break, new: State, by: str, text: str, *, at: datetime
) -> None:
    salt = new_salt()
    await s.execute(
        "UPDATE breaks SET state = :state,"
        " assignee = CASE WHEN :state = 'assigned' THEN :by ELSE assignee END,"
        " closed_at = CASE WHEN :state = 'closed' THEN CAST(:at AS timestamptz) END"
        " WHERE id = :id",
        {"id": known.id, "state": new.value, "by": by, "at": at},
    )
    await s.execute(
        "INSERT INTO break_notes (id, break_id, by, note, salt, old_state, new_state, at)"
        " VALUES (:id, :break, :by, :note, :salt, :old, :new, :at)",
        {
            "id": new_uuid7(),
            "break": known.id,
            "by": by,
            "note": text,
            "salt": salt,
            "old": known.state.value,
            "new": new.value,
            "at": at,
        },
    )
    accepted = new is State.CLOSED and known.state is State.EXPLAINED
    data: dict[str, Json] = {
        "break": format_id("break", known.id),
        "from": known.state.value,
        "to": new.value,
        "by": by,
        "note": f"sha256:{commitment(salt, text)}",
        "accepted": str(known.difference) if accepted else None,
    }
    await log.append(s, known.tenant_id, "break.moved", data, at=at)


# --- reading ----------------------------------------------------------------------------------


async def get(s: ReadSession, tenant_id: TenantId, id_: BreakId) -> Break:
    """Raises NotFound."""
    found = await _where(s, "tenant_id = :tenant AND id = :id", {"tenant": tenant_id, "id": id_})
    if not found:
        raise NotFound("break", format_id("break", id_))
    return found[0]


async def of_breaker(s: ReadSession, id_: BreakerId) -> list[Break]:
    return await _where(s, "breaker_id = :id", {"id": id_})


async def notes(s: ReadSession, id_: BreakId) -> list[Note]:
    """Oldest first."""
    rows = await s.all(
        "SELECT by, note, old_state, new_state, at FROM break_notes WHERE break_id = :id"
        " ORDER BY id",
        {"id": id_},
    )
    return [Note(**row._mapping) for row in rows]


async def listing(
    s: ReadSession,
    tenant_id: TenantId,
    cursor: UUID | None,
    limit: int,
    state: State | None = None,
) -> list[Break]:
    """Newest first; `cursor` is the id of the last one seen."""
    rows = await s.all(
        f"SELECT {_COLUMNS} FROM breaks WHERE tenant_id = :tenant"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:cursor AS uuid) IS NULL OR id < :cursor) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "state": state, "cursor": cursor, "limit": limit},
    )
    return [_break(row) for row in rows]


async def _where(s: ReadSession, where: str, params: Mapping[str, Any]) -> list[Break]:
    rows = await s.all(f"SELECT {_COLUMNS} FROM breaks WHERE {where} ORDER BY id", params)
    return [_break(row) for row in rows]


def _break(row: Any) -> Break:
    values = dict(row._mapping)
    for name in ("ledger", "there", "difference", "beyond"):
        values[name] = int(values[name])
    values["state"] = State(values["state"])
    return Break(**values)

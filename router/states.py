"""States of everything the router runs, and the moves allowed between them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from custody.core.db import WriteSession
from custody.core.errors import Broken


class PoolState(StrEnum):
    OPEN = "open"
    PAUSED = "paused"  # nobody joins, nothing enters a venue; exits go on
    CLOSED = "closed"


class FundingState(StrEnum):
    WAITING = "waiting"  # joined; the money still lies in the treasury
    FUNDING = "funding"  # an intent carries it to the guard
    FUNDED = "funded"


class PlanState(StrEnum):
    OPEN = "open"
    DONE = "done"


class LegState(StrEnum):
    """An entry at an exchange goes released -> credited -> subscribing; an exit redeeming ->
    redeemed -> withdrawing -> arriving. A queued exit (staking) goes queued -> claiming. An exit
    for which the venue gives nothing now waits, and is tried again by itself."""

    PLANNED = "planned"
    WAITING = "waiting"  # an exit, or the rest of one, that could not leave at the last look
    EXECUTING = "executing"  # an intent is with settlement
    RELEASED = "released"  # left the guard, in flight to the exchange
    CREDITED = "credited"  # the exchange says it has it
    SUBSCRIBING = "subscribing"  # asked to subscribe; the answer may be lost
    REDEEMING = "redeeming"  # asked to redeem; the answer may be lost
    REDEEMED = "redeemed"
    WITHDRAWING = "withdrawing"  # asked to withdraw under the leg's own id
    ARRIVING = "arriving"  # on chain by the exchange's word; we verify it ourselves
    QUEUED = "queued"
    CLAIMING = "claiming"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RedemptionState(StrEnum):
    REQUESTED = "requested"
    RECALLING = "recalling"  # venues are being exited for it
    RELEASING = "releasing"  # an intent carries it from the guard to the treasury
    SETTLED = "settled"
    FAILED = "failed"  # its hold is gone: withdrawn or expired


class ProposalState(StrEnum):
    """A loosening of a risk policy."""

    PROPOSED = "proposed"  # by one person; another has to agree
    APPROVED = "approved"  # by two; its delay runs
    IN_FORCE = "in_force"
    VETOED = "vetoed"
    DROPPED = "dropped"  # overtaken by another version, or no longer possible


class FlagState(StrEnum):
    """Whether a venue can be left. Without a row it can, as far as anybody knows."""

    DOUBTFUL = "doubtful"  # an exit fails or is partial, not yet for long
    FLAGGED = "flagged"  # no entry, its yield is held back, holders are told
    CLEARED = "cleared"


class HaltState(StrEnum):
    HALTED = "halted"  # a rate or a price has jumped: no entry
    OVER = "over"


class DepartureState(StrEnum):
    LEAVING = "leaving"  # by order of a person; nothing enters until two have said otherwise
    REOPENED = "reopened"


class IncomeState(StrEnum):
    WAITING = "waiting"  # for approvals, or on its way
    PAID = "paid"
    FAILED = "failed"  # refused, not approved in time, or reverted: nothing left the guard


_I = IncomeState
_L, _F, _R, _P = LegState, FundingState, RedemptionState, ProposalState
_MOVES: Mapping[str, Mapping[Any, frozenset[Any]]] = {
    "pool_fundings": {
        _F.WAITING: frozenset({_F.FUNDING}),
        _F.FUNDING: frozenset({_F.FUNDED, _F.WAITING}),
        _F.FUNDED: frozenset(),
    },
    "plans": {PlanState.OPEN: frozenset({PlanState.DONE}), PlanState.DONE: frozenset()},
    "legs": {
        _L.PLANNED: frozenset({_L.EXECUTING, _L.REDEEMING, _L.WAITING, _L.CANCELLED, _L.FAILED}),
        _L.WAITING: frozenset({_L.EXECUTING, _L.WAITING, _L.CANCELLED, _L.FAILED}),
        _L.EXECUTING: frozenset({_L.RELEASED, _L.QUEUED, _L.DONE, _L.FAILED}),
        _L.RELEASED: frozenset({_L.CREDITED}),
        _L.CREDITED: frozenset({_L.SUBSCRIBING}),
        _L.SUBSCRIBING: frozenset({_L.DONE}),
        _L.REDEEMING: frozenset({_L.REDEEMED, _L.FAILED}),
        _L.REDEEMED: frozenset({_L.WITHDRAWING, _L.FAILED}),
        _L.WITHDRAWING: frozenset({_L.WITHDRAWING, _L.ARRIVING, _L.REDEEMED}),
        _L.ARRIVING: frozenset({_L.ARRIVING, _L.DONE}),
        _L.QUEUED: frozenset({_L.CLAIMING}),
        _L.CLAIMING: frozenset({_L.QUEUED, _L.DONE}),
        _L.DONE: frozenset(),
        _L.FAILED: frozenset(),
        _L.CANCELLED: frozenset(),
    },
    "venue_flags": {
        FlagState.DOUBTFUL: frozenset({FlagState.FLAGGED, FlagState.CLEARED}),
        FlagState.FLAGGED: frozenset({FlagState.CLEARED}),
        FlagState.CLEARED: frozenset(),
    },
    "venue_halts": {
        HaltState.HALTED: frozenset({HaltState.OVER}),
        HaltState.OVER: frozenset(),
    },
    "venue_departures": {
        DepartureState.LEAVING: frozenset({DepartureState.REOPENED}),
        DepartureState.REOPENED: frozenset(),
    },
    "redemptions": {
        _R.REQUESTED: frozenset({_R.RECALLING, _R.RELEASING, _R.FAILED}),
        _R.RECALLING: frozenset({_R.RELEASING, _R.FAILED}),
        _R.RELEASING: frozenset({_R.SETTLED, _R.REQUESTED}),
        _R.SETTLED: frozenset(),
        _R.FAILED: frozenset(),
    },
    "income_payments": {
        _I.WAITING: frozenset({_I.PAID, _I.FAILED}),
        _I.PAID: frozenset(),
        _I.FAILED: frozenset(),
    },
    "risk_proposals": {
        _P.PROPOSED: frozenset({_P.APPROVED, _P.VETOED, _P.DROPPED}),
        _P.APPROVED: frozenset({_P.IN_FORCE, _P.VETOED, _P.DROPPED}),
        _P.IN_FORCE: frozenset(),
        _P.VETOED: frozenset(),
        _P.DROPPED: frozenset(),
    },
}

LEG_ENDS = (_L.DONE, _L.FAILED, _L.CANCELLED)


def allowed(table: str, old: StrEnum, new: StrEnum) -> bool:
    return new in _MOVES[table][old]


async def move(
    s: WriteSession, table: str, id_: UUID, old: StrEnum, new: StrEnum, **columns: object
) -> bool:
    """Move one row and set columns with it; False if it was no longer in `old`.

    Raises Broken on a move that the table of moves doesn't have: a fault of the program.
    """
    if not allowed(table, old, new):
        raise Broken(f"{table} {id_}: no move from {old} to {new}")
    sets = "".join(f", {name} = :{name}" for name in columns)
    result = await s.execute(
        f"UPDATE {table} SET state = :new, updated_at = now(){sets}"
        " WHERE id = :id AND state = :old",
        {"id": id_, "old": old.value, "new": new.value, **columns},
    )
    return bool(result.rowcount == 1)

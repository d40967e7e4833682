"""Balances in time: of one account now or at a moment, step by step, and with its sub-accounts."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.answers import Shape, answer, parse_time
from api.auth.access import OWN, STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.accounts import visible
from api.routes.statements import By, End, Start, span
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.ids import format_id
from custody.ledger import balances
from custody.ledger.accounts import Account
from custody.ledger.balances import HISTORY_MAX, Time

routes = Routes("balances")

# Printed times have four digits of a year, and the step after the last time is a time too.
YEAR_MIN, YEAR_MAX = 1000, 9998
STEP_MAX_S = 365 * 86_400


class BalanceView(Shape):
    """Now, or only `posted` at a time: holds of the past are not kept, so the others are null then.

    `posted` is what is there, `available` that less `held`; `incoming` is not there yet.
    """

    account: str
    asset: str
    at: str | None
    by: str | None
    posted: str
    held: str | None
    incoming: str | None
    available: str | None


class HistoryPoint(Shape):
    at: str
    posted: str


class HistoryView(Shape):
    """One point a step: what was posted before the step's end, which is its `at`."""

    account: str
    asset: str
    start: str
    end: str
    step_s: int
    by: str
    points: list[HistoryPoint]


class TotalView(Shape):
    """Of one asset, in as many accounts; each is signed by its own normal side."""

    asset: str
    accounts: int
    posted: str
    held: str
    incoming: str


class TotalsView(Shape):
    account: str
    totals: list[TotalView]


At = Annotated[
    str | None, Query(max_length=40, description="after all up to this time (ISO 8601), or now")
]
AtBy = Annotated[
    Time | None, Query(description="the ledger's time, if not said, or the world's; only with at")
]
Step = Annotated[int, Query(ge=1, le=STEP_MAX_S, description="seconds from point to point")]


def _in_years(at: datetime, field: str) -> datetime:
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise InvalidInput(field, f"must be in the years {YEAR_MIN} to {YEAR_MAX} of UTC")
    return at


def _moment(at: str | None, by: Time | None) -> datetime | None:
    if at is not None:
        return _in_years(parse_time(at, "at"), "at")
    if by is not None:
        raise InvalidInput("by", "must come with at: the balance now has no other time")
    return None


def _steps(start: str, end: str, step_s: int) -> tuple[datetime, datetime, timedelta]:
    first, last = span(start, end)
    step, length = timedelta(seconds=step_s), _in_years(last, "end") - _in_years(first, "start")
    if length > HISTORY_MAX * step:
        raise InvalidInput("step_s", f"must be long enough for at most {HISTORY_MAX} steps")
    return first, last, step


def _now(account: Account) -> dict[str, Any]:
    found = balances.balance_of(account)
    return {
        "account": format_id("account", account.id),
        "asset": account.asset_id,
        "at": None,
        "by": None,
        "posted": str(found.posted),
        "held": str(found.pending_out),
        "incoming": str(found.pending_in),
        "available": str(found.available),
    }


def _then(account: Account, at: datetime, by: Time, posted: int) -> dict[str, Any]:
    return {
        "account": format_id("account", account.id),
        "asset": account.asset_id,
        "at": iso_us(at),
        "by": by,
        "posted": str(posted),
        "held": None,
        "incoming": None,
        "available": None,
    }


@routes.get(
    "/v1/accounts/{account_id}/balance",
    access=OWN,
    command="accounts balance",
    answer=BalanceView,
)
async def show(
    account_id: str, who: Who, deps: UseDeps, at: At = None, by: AtBy = None
) -> Response:
    """The balance now, or what was posted up to and including a time."""
    moment = _moment(at, by)
    async with deps.db.read() as s:
        account = await visible(s, who, account_id)
        if moment is None:
            return answer(_now(account))
        by = by or "created_at"
        posted = await balances.balance_at(s, account.id, moment, by)
    return answer(_then(account, moment, by, posted))


@routes.get(
    "/v1/accounts/{account_id}/history",
    access=OWN,
    command="accounts history",
    answer=HistoryView,
)
async def history(
    account_id: str,
    who: Who,
    deps: UseDeps,
    start: Start,
    end: End,
    step_s: Step,
    by: By = "created_at",
) -> Response:
    """What was posted at the end of each step, the last of which ends at `end`."""
    first, last, step = _steps(start, end, step_s)
    async with deps.db.read() as s:
        account = await visible(s, who, account_id)
        found = await balances.history(s, account.id, first, last, step, by)
    view = {
        "account": format_id("account", account.id),
        "asset": account.asset_id,
        "start": iso_us(first),
        "end": iso_us(last),
        "step_s": step_s,
        "by": by,
        "points": [{"at": iso_us(at), "posted": str(posted)} for at, posted in found],
    }
    return answer(view)


@routes.get(
    "/v1/accounts/{account_id}/totals",
    access=STAFF,
    command="accounts totals",
    answer=TotalsView,
)
async def totals(account_id: str, who: Who, deps: UseDeps) -> Response:
    """An account with all its sub-accounts, asset by asset.

    Staff and auditors only: a sub-account may be anybody's, and a sum or a count tells a holder of
    the others. Whose sub-accounts are all their own reads those one by one.
    """
    async with deps.db.read() as s:
        account = await visible(s, who, account_id)
        found = await balances.totals(s, account.id)
    return answer(
        {"account": format_id("account", account.id), "totals": [_total(t) for t in found]}
    )


def _total(total: balances.Total) -> dict[str, Any]:
    return {
        "asset": total.asset_id,
        "accounts": total.accounts,
        "posted": str(total.posted),
        "held": str(total.pending_out),
        "incoming": str(total.pending_in),
    }

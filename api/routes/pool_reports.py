"""Statements of a pool's holders, and the treasury's report: what was earned, taken and paid."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from api.answers import Shape, answer
from api.auth.access import OWN, STAFF
from api.auth.guard import Who
from api.deps import UseDeps
from api.routes.pools import pool_id_of
from api.routes.statements import End, Start, span
from api.routing import Routes
from custody.core.clock import iso_us
from custody.core.errors import InvalidInput
from custody.core.ids import format_id
from router import books, reports
from router.sharing import Line, Shared

routes = Routes("pool-reports")
PERIOD_MAX = timedelta(days=400)


class LineView(Shape):
    """closing = opening + joined - left - exit_fees + net;
    net = gross - management - spread - excess. Base units of the pool's asset."""

    opening: str
    joined: str
    left: str
    exit_fees: str
    gross: str
    management: str
    spread: str
    excess: str
    net: str
    closing: str


class HolderLine(LineView):
    customer: str


class Statements(Shape):
    """A holder's own line; for staff all, which with the dust sum to the pool's totals."""

    pool: str
    asset: str
    start: str
    end: str
    lines: list[HolderLine]


class Report(Shape):
    """`income` = management + spread + excess + exit_fees of the totals. `gas` is what the pool's
    own transactions cost, in base units of `gas_asset`; `losses` what went beyond the holders'."""

    pool: str
    asset: str
    start: str
    end: str
    totals: LineView
    dust_opening: str
    dust_closing: str
    income: str
    gas_asset: str
    gas: str
    losses: str
    holders: int


def _period(start: str, end: str) -> tuple[datetime, datetime]:
    """Raises InvalidInput. Each accrual of the period is read, so it has an end."""
    times = span(start, end)
    if times[1] - times[0] > PERIOD_MAX:
        raise InvalidInput("end", f"must be at most {PERIOD_MAX.days} days after start")
    return times


def _line(line: Line) -> dict[str, str]:
    return {name: str(getattr(line, name)) for name in Line.__slots__}


def _lines(shared: Shared, mine: UUID | None) -> list[dict[str, str]]:
    return [
        {"customer": format_id("customer", owner), **_line(line)}
        for owner, line in sorted(shared.lines.items())
        if mine is None or owner == mine
    ]


@routes.get(
    "/v1/pools/{pool_id}/statements",
    access=OWN,
    command="pool-statements show",
    answer=Statements,
)
async def statements(pool_id: str, who: Who, deps: UseDeps, start: Start, end: End) -> Response:
    """Who had what of the pool in a period: a holder sees the own line, staff all."""
    times = _period(start, end)
    async with deps.db.snapshot() as s:
        item = await books.pool(s, who.tenant_id, pool_id_of(pool_id))
        found = await reports.statements(s, item, *times)
    return answer(
        {
            "pool": pool_id,
            "asset": item.asset_id,
            "start": iso_us(times[0]),
            "end": iso_us(times[1]),
            "lines": _lines(found, who.customer_id),
        }
    )


@routes.get("/v1/pools/{pool_id}/report", access=STAFF, command="pool-reports show", answer=Report)
async def report(pool_id: str, who: Who, deps: UseDeps, start: Start, end: End) -> Response:
    """Gross yield of a period, split into what holders got, spread, fees, and the costs of it."""
    async with deps.db.snapshot() as s:
        found = await reports.report(s, who.tenant_id, pool_id_of(pool_id), *_period(start, end))
    body: dict[str, Any] = {
        "pool": pool_id,
        "asset": found.pool.asset_id,
        "start": iso_us(found.start),
        "end": iso_us(found.end),
        "totals": _line(found.totals),
        "dust_opening": str(found.shared.dust_opening),
        "dust_closing": str(found.shared.dust_closing),
        "income": str(found.income),
        "gas_asset": found.gas_asset,
        "gas": str(found.gas),
        "losses": str(found.losses),
        "holders": len(found.shared.lines),
    }
    return answer(body)

"""Panels from CSV text: date, venue, token, apy_decimal; and withdrawable_usd, utilisation, tvl_usd
where the source has them. Pure: the caller reads the file.

Every bad row is an InvalidInput that names its line, the field and the rule.
"""

import csv
import re
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal, InvalidOperation

from custody.core.errors import InvalidInput
from router.backtest.panel import MICRO, Cell, Panel, Venue, build, growth_from_apy_down
from router.curves import RAY

NEEDED = ("date", "venue", "token", "apy_decimal")
OPTIONAL = ("withdrawable_usd", "utilisation", "tvl_usd")
APY_MAX = 100
"""10,000 % a year: more than that is a unit mixed up, not a rate."""
Growth = Callable[[int], int]
Cells = dict[tuple[date, Venue], Cell]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")

LOANSCAN_7 = frozenset(
    {
        *(Venue("AaveVariable", token) for token in ("DAI", "USDC", "USDT")),
        *(Venue("CompoundV2", token) for token in ("DAI", "USDC", "USDT")),
        Venue("dYdX", "DAI"),
    }
)
"""The seven independent, complete series among LoanScan's (see the data's own README)."""


def parse(
    name: str,
    text: str,
    only: Collection[Venue] | None = None,
    growth: Growth = growth_from_apy_down,
) -> Panel:
    """The panel in a CSV; with `only`, of these venues, each of which must be there, and of the
    days that they have in common. `growth` makes a day's growth of apy_decimal, both in ray."""
    lines = csv.reader(text.splitlines())
    header = next(lines, [])
    _check_header(header)
    cells: Cells = {}
    for number, values in enumerate(lines, 2):
        if len(values) != len(header):
            raise InvalidInput(f"line {number}", f"must have {len(header)} fields")
        row = dict(zip(header, values, strict=True))
        key = _day(row["date"], number), Venue(_name(row, "venue", number), _token(row, number))
        if only is not None and key[1] not in only:
            continue
        if key in cells:
            raise InvalidInput(f"line {number}, date", "a venue has one row a day")
        cell = _cell(row, number, growth)
        if cell is not None:
            cells[key] = cell
    missing = sorted(v.label for v in set(only or ()) - {v for _, v in cells})
    if missing or not cells:
        raise InvalidInput("venue", f"has no rows: {missing[0] if missing else 'any'}")
    return build(name, cells if only is None else _common(cells, only))


def _common(cells: Cells, only: Collection[Venue]) -> Cells:
    """The days from the one on which the last series begins to the one on which the first ends."""
    spans = [[day for day, v in cells if v == venue] for venue in only]
    first, last = max(min(days) for days in spans), min(max(days) for days in spans)
    return {(day, v): cell for (day, v), cell in cells.items() if first <= day <= last}


def _check_header(header: list[str]) -> None:
    for field in NEEDED:
        if field not in header:
            raise InvalidInput(f"line 1, {field}", "is missing")
    for field in header:
        if field not in NEEDED + OPTIONAL:
            raise InvalidInput(f"line 1, {field}", "is not a column of a panel")
        if header.count(field) > 1:
            raise InvalidInput(f"line 1, {field}", "a column comes once")


def _cell(row: dict[str, str], number: int, growth: Growth) -> Cell | None:
    """None where the rate is empty: a day that the source knows nothing of."""
    if row["apy_decimal"] == "":
        return None
    apy = _number(row, "apy_decimal", number, most=APY_MAX)
    tvl, withdrawable = (_money(row, f, number) for f in ("tvl_usd", "withdrawable_usd"))
    utilisation = None
    if row.get("utilisation"):
        utilisation = int(_number(row, "utilisation", number, most=10) * RAY)
    return Cell(growth(int(apy * RAY)), withdrawable, utilisation, tvl)


def _money(row: dict[str, str], field: str, number: int) -> int | None:
    return int(_number(row, field, number) * MICRO) if row.get(field) else None


def _number(row: dict[str, str], field: str, number: int, most: int = 10**15) -> Decimal:
    where = f"line {number}, {field}"
    try:
        value = Decimal(row[field])
    except InvalidOperation:
        raise InvalidInput(where, "must be a decimal number") from None
    if not value.is_finite() or not 0 <= value <= most:
        raise InvalidInput(where, f"must be from 0 to {most}")
    return value


def _day(text: str, number: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"line {number}, date", "must be a day, YYYY-MM-DD") from None


def _name(row: dict[str, str], field: str, number: int) -> str:
    if not _NAME.fullmatch(row[field]):
        raise InvalidInput(
            f"line {number}, {field}", "must be 1 to 64 letters, digits, blanks, dots or dashes"
        )
    return row[field]


def _token(row: dict[str, str], number: int) -> str:
    return _name(row, "token", number)

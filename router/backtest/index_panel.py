"""Panels from indices: voltz's cumulative liquidity indices and Yearn's share prices. Pure.

What they grow by is what was really earned, so no convention about APR or APY is needed.
"""

import csv
from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from custody.core.errors import InvalidInput
from router.backtest.panel import Panel, Venue, from_indices
from router.curves import RAY

Points = dict[Venue, list[tuple[date, int]]]

VOLTZ_2021 = {"aave_usdc": "USDC", "lido_stETH": "ETH", "rocket_rETH": "ETH"}
"""2021-03 to 2022-06; the token of each series."""
VOLTZ_2023 = {
    "arbitrum-aaveV3-USDC": "USDC",
    "mainnet-aaveV2-USDC": "USDC",
    "mainnet-aaveV3-USDC": "USDC",
    "mainnet-lido-ETH": "ETH",
    "mainnet-rocket-ETH": "ETH",
}
"""2023-01 to 2023-03, with the weekend on which USDC lost its peg."""
YEARN = {
    "yvDAI 0.3.0": "DAI",
    "yvDAI 0.4.3": "DAI",
    "yvLUSD 0.4.3": "LUSD",
    "yvTUSD 0.4.3": "TUSD",
    "yvUSDC 0.3.0": "USDC",
    "yvUSDC 0.4.3": "USDC",
    "yvUSDT 0.3.5": "USDT",
}
"""The dollar vaults that held more than dust in 2022 and whose price moved at all."""


def voltz(name: str, text: str, tokens: dict[str, str]) -> Panel:
    """From long_index.csv: date, series, liquidityIndex, src_commit. Raises InvalidInput."""
    points: Points = defaultdict(list)
    for number, row in _rows(text, ("date", "series", "liquidityIndex")):
        token = tokens.get(row["series"])
        if token is not None:
            venue = Venue(row["series"], token)
            points[venue].append(_point(row["date"], row["liquidityIndex"], number, 1))
    return _panel(name, points, tokens)


def yearn(name: str, text: str, tokens: dict[str, str] = YEARN) -> Panel:
    """From share_price_2h.csv: time_utc and one column a vault, empty where it had no price."""
    points: Points = defaultdict(list)
    for number, row in _rows(text, ("time_utc", *tokens)):
        for vault, token in tokens.items():
            if row[vault]:
                venue = Venue(vault, token)
                points[venue].append(_point(row["time_utc"], row[vault], number, RAY))
    return _panel(name, points, tokens)


def _panel(name: str, points: Points, tokens: dict[str, str]) -> Panel:
    missing = sorted(set(tokens) - {v.name for v, found in points.items() if len(found) > 1})
    if missing:
        raise InvalidInput("series", f"has no growth: {missing[0]}")
    return from_indices(name, {v: sorted(found) for v, found in points.items()})


def _rows(text: str, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(text.splitlines(), restval="")
    for field in needed:
        if field not in (reader.fieldnames or ()):
            raise InvalidInput(f"line 1, {field}", "is missing")
    return list(enumerate(reader, 2))


def _point(when: str, index: str, number: int, scale: int) -> tuple[date, int]:
    try:
        day = datetime.fromisoformat(when).date()
    except ValueError:
        raise InvalidInput(f"line {number}, date", "must be a time, ISO 8601") from None
    try:
        value = Decimal(index)
    except InvalidOperation:
        raise InvalidInput(f"line {number}, index", "must be a decimal number") from None
    if not value.is_finite() or value <= 0:
        raise InvalidInput(f"line {number}, index", "must be above 0")
    return day, int(value * scale)

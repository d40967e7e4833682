"""Small panels for tests, and where the shared rates are."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from router.backtest.panel import MICRO, Cell, Panel, Venue, build
from router.curves import RAY

ROOT = Path(__file__).resolve().parents[3]
RATES = Path(os.environ.get("MOORAGE_RATES", ROOT.parent / "shared" / "rates"))

needs_rates = pytest.mark.skipif(not RATES.is_dir(), reason=f"no shared rates at {RATES}")

A, B, C = Venue("a", "USDC"), Venue("b", "DAI"), Venue("c", "USDC")
USD = MICRO
PER_MILLE = RAY // 1000


def panel(*series: Sequence[int | None], venues: Sequence[Venue] = (A, B, C)) -> Panel:
    """One sequence a venue of daily growth, in per mille; None is a day without a rate."""
    first = date(2024, 1, 1)
    cells = {
        (first + timedelta(days=day), venue): Cell(growth * PER_MILLE)
        for venue, growths in zip(venues, series, strict=False)
        for day, growth in enumerate(growths)
        if growth is not None
    }
    return build("test", cells)


def with_cells(made: Panel, venue: Venue, **fields: int) -> Panel:
    """The panel with these fields in every cell of a venue."""
    i = made.venues.index(venue)
    rows = tuple(
        tuple(replace(c, **fields) if n == i and c else c for n, c in enumerate(row))
        for row in made.rows
    )
    return replace(made, rows=rows)

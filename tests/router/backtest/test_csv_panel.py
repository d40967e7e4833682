"""Rows of a panel: what is read, and what is refused with its line, field and rule."""

from datetime import date

import pytest

from custody.core.errors import InvalidInput
from router.backtest import csv_panel, index_panel
from router.backtest.panel import MICRO, Venue
from router.curves import RAY

pytestmark = pytest.mark.unit

HEAD = "date,venue,token,apy_decimal"
FULL = HEAD + ",withdrawable_usd,utilisation,tvl_usd"


def test_an_apy_is_effective_and_compounds_daily_to_itself() -> None:
    made = csv_panel.parse("p", f"{HEAD}\n2024-01-01,Aave,DAI,0.05\n")
    cell = made.rows[0][0]
    assert cell is not None
    assert abs((1 + cell.growth_ray / RAY) ** 365 - 1.05) < 1e-12
    assert cell.growth_ray * 365 < RAY * 5 // 100


def test_optional_columns_days_between_and_empty_rates() -> None:
    text = (
        f"{FULL}\n2024-01-01,A,DAI,0.05,10.5,0.9,7\n2024-01-02,A,DAI,,,,\n2024-01-04,A,DAI,0,,,\n"
    )
    made = csv_panel.parse("p", text)
    first = made.rows[0][0]
    assert first is not None
    assert (first.withdrawable, first.utilisation_ray, first.tvl) == (
        10_500_000,
        RAY * 9 // 10,
        7 * MICRO,
    )
    assert [day.day for day in made.days] == [1, 2, 3, 4]
    assert [row[0] is None for row in made.rows] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("", "line 1, date", "is missing"),
        ("date,venue,token", "line 1, apy_decimal", "is missing"),
        (HEAD + ",apr", "line 1, apr", "is not a column of a panel"),
        (HEAD + ",token", "line 1, token", "a column comes once"),
        (f"{HEAD}\n2024-01-01,A,DAI", "line 2", "must have 4 fields"),
        (f"{HEAD}\n01/01/2024,A,DAI,0.1", "line 2, date", "must be a day, YYYY-MM-DD"),
        (f"{HEAD}\n2024-01-01,A,DAI,5%", "line 2, apy_decimal", "must be a decimal number"),
        (f"{HEAD}\n2024-01-01,A,DAI,nan", "line 2, apy_decimal", "must be from 0 to 100"),
        (f"{HEAD}\n2024-01-01,A,DAI,-0.1", "line 2, apy_decimal", "must be from 0 to 100"),
        (f"{HEAD}\n2024-01-01,A,DAI,101", "line 2, apy_decimal", "must be from 0 to 100"),
        (f"{HEAD}\n2024-01-01,A,DAI,1e999999", "line 2, apy_decimal", "must be from 0 to 100"),
        (f"{HEAD}\n2024-01-01,A,DAI,0\n2024-01-01,A,DAI,0", "line 3, date", "one row a day"),
        (f"{HEAD}\n2024-01-01,<b>,DAI,0", "line 2, venue", "must be 1 to 64 letters"),
        (f"{HEAD}\n2024-01-01,A,,0", "line 2, token", "must be 1 to 64 letters"),
        (f"{FULL}\n2024-01-01,A,DAI,0,x,,", "line 2, withdrawable_usd", "decimal number"),
        (f"{FULL}\n2024-01-01,A,DAI,0,,11,", "line 2, utilisation", "must be from 0 to 10"),
        (HEAD, "venue", "has no rows: any"),
    ],
)
def test_a_bad_row_names_line_field_and_rule(text: str, field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        csv_panel.parse("p", text)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_a_selection_has_the_days_in_common_and_misses_nobody() -> None:
    text = (
        f"{HEAD}\n2024-01-01,A,DAI,0\n2024-01-02,A,DAI,0\n2024-01-02,B,DAI,0\n2024-01-03,B,DAI,0\n"
    )
    chosen = [Venue("A", "DAI"), Venue("B", "DAI")]
    assert csv_panel.parse("p", text, chosen).days == (date(2024, 1, 2),)
    with pytest.raises(InvalidInput, match="no rows: C:DAI"):
        csv_panel.parse("p", text, [*chosen, Venue("C", "DAI")])


def test_indices_grow_by_their_ratio_and_gaps_are_spread() -> None:
    text = (
        "date,series,liquidityIndex,src_commit\n2024-01-01 01:00:00+00:00,x,1e27,c\n"
        "2024-01-01 23:00:00+00:00,x,2e27,c\n2024-01-02 10:00:00+00:00,x,3e27,c\n"
        "2024-01-04 10:00:00+00:00,x,6e27,c\n"
    )
    made = index_panel.voltz("v", text, {"x": "DAI"})
    assert [row[0] and row[0].growth_ray for row in made.rows] == [RAY // 2] * 3


@pytest.mark.parametrize(
    ("line", "field"),
    [("soon,x,1e27,c", "line 3, date"), ("2024-01-02,x,0,c", "line 3, index")],
)
def test_a_bad_index_is_named(line: str, field: str) -> None:
    text = f"date,series,liquidityIndex,src_commit\n2024-01-01,x,1e27,c\n{line}\n"
    with pytest.raises(InvalidInput) as caught:
        index_panel.voltz("v", text, {"x": "DAI"})
    assert caught.value.field == field

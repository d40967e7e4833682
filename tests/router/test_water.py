"""Water filling against the interior-point method, and against what a table of cases says."""

import itertools
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.curves import RAY
from router.interior import Rows, maximise
from router.lending_curves import Queued
from router.pieces import Cap, Item, whole
from router.segments import Demand, Segments
from router.solver import solve
from router.stated_curves import FixedPot, Flat
from router.water import fill
from tests.router.markets import curves

pytestmark = pytest.mark.unit

RATE = st.just(0.0) | st.floats(1e-9, 0.3)
SIZE = st.floats(0.01, 3.0)
Row = tuple[float, float, float, float, float, float]


@st.composite
def concave(draw: st.DrawFn) -> Row:
    """start, length, a, b, c, supply of a flat rate, a pot or a lending pool below its crest."""
    start, length, supply = draw(st.floats(0.0, 1.0)), draw(SIZE), draw(SIZE)
    match draw(st.sampled_from(("flat", "pot", "lending"))):
        case "flat":
            return start, length, draw(RATE), 0.0, 0.0, supply
        case "pot":
            return start, length, 0.0, draw(RATE) * supply, 0.0, supply
    c = draw(RATE) * supply * supply
    end = supply * draw(st.floats(0.1, 2.0))  # up to twice the supply it is concave
    return 0.5 * end, 0.5 * end, 0.0, draw(RATE) * c, c, supply


def segments(rows: list[Row]) -> Segments:
    return Segments(*np.array(rows).T.copy())


@settings(max_examples=300, deadline=None)
@given(concave(), st.floats(0.0, 0.5))
def test_what_is_taken_at_a_price_earns_it(row: Row, price: float) -> None:
    market = segments([row])
    (y,) = Demand(market).at(price).tolist()
    (here,) = market.slope(np.array([y])).tolist()
    near = 1e-12 * (1.0 + abs(here))
    assert 0.0 <= y <= row[1]
    assert y == row[1] or here <= price + near
    assert y == 0.0 or here >= price - near


@settings(max_examples=100, deadline=None)
@given(st.lists(concave(), min_size=1, max_size=8), st.floats(0.01, 8.0))
def test_filling_earns_what_the_general_method_earns_and_nothing_earns_more(
    rows: list[Row], room: float
) -> None:
    """No less, that is: where some earn nothing the general method stops short of the best. What
    the price leaves of the best of each is a bound to all that any amounts earn."""
    market, count = segments(rows), len(rows)
    amounts, price = fill(market, room)
    total = float(amounts.sum())
    assert (amounts >= 0.0).all()
    assert (amounts <= market.length).all()
    assert total <= room * (1 + 1e-13)
    assert price == 0.0 or total == pytest.approx(room, rel=1e-13)
    every = np.arange(count)
    general = maximise(market, Rows(np.zeros_like(every), every, np.array([room]), count))
    earned = float(market.gain(amounts).sum())
    assert earned >= float(market.gain(general.y).sum()) - 1e-12
    steps = [
        part * market.length for part in (*np.linspace(0.0, 1.0, 101), amounts / market.length)
    ]
    left = np.max([market.gain(y) - price * y for y in steps], axis=0)
    assert earned == pytest.approx(price * room + float(left.sum()), rel=1e-9, abs=1e-12)


FLAT_5, FLAT_3 = (0.0, 1.0, 0.05, 0.0, 0.0, 1.0), (0.0, 1.0, 0.03, 0.0, 0.0, 1.0)
FREE = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
POT = (0.0, 9.0, 0.0, 0.05, 0.0, 1.0)
"""Its slope is 0.05 / (1 + x)^2."""


@pytest.mark.parametrize(
    ("rows", "room", "amounts", "price"),
    [
        pytest.param([FLAT_5], 0.4, [0.4], 0.05, id="one takes it all"),
        pytest.param([FLAT_5], 2.0, [1.0], 0.0, id="more room than any takes is worth nothing"),
        pytest.param([FLAT_5, FREE], 2.0, [1.0, 0.0], 0.0, id="what earns nothing gets nothing"),
        pytest.param([FREE], 0.5, [0.0], 0.0, id="nor where it could have all"),
        pytest.param([FLAT_3, FLAT_5], 1.5, [0.5, 1.0], 0.03, id="the better one first"),
        pytest.param([FLAT_5, FLAT_3], 1.0, [1.0, 0.0], 0.05, id="full to the end of the better"),
        pytest.param([FLAT_5, FLAT_5], 0.6, [0.3, 0.3], 0.05, id="equals share alike"),
        pytest.param([POT, POT], 2.0, [1.0, 1.0], 0.0125, id="pots share alike"),
        pytest.param([POT], 3.0, [3.0], 0.003125, id="one pot"),
        pytest.param([FLAT_3, POT], 0.5, [0.5 - (5 / 3) ** 0.5 + 1, (5 / 3) ** 0.5 - 1], 0.03,
                     id="a pot down to the flat rate, which takes what is left"),
    ],
)  # fmt: skip
def test_filling(rows: list[Row], room: float, amounts: list[float], price: float) -> None:
    found, of_room = fill(segments(rows), room)
    assert found.tolist() == pytest.approx(amounts, abs=1e-12)
    assert of_room == pytest.approx(price, rel=1e-12)


@st.composite
def one_budget(draw: st.DrawFn, size: int, items_max: int) -> tuple[list[Item], int]:
    each = curves(size * 2).filter(lambda c: not isinstance(c, Queued))
    items = [
        Item(draw(each), whole(0, draw(st.integers(0, size))))
        for _ in range(draw(st.integers(1, items_max)))
    ]
    return items, draw(st.integers(1, size * 2))


@settings(max_examples=80, deadline=None)
@given(one_budget(10**13, 8))
def test_one_budget_said_twice_is_solved_by_the_general_method_to_the_same(
    market: tuple[list[Item], int],
) -> None:
    items, room = market
    budget = Cap(tuple(range(len(items))), room)
    filled, general = solve(items, [budget]), solve(items, [budget, budget])
    assert filled.value_ray <= general.bound_ray
    assert general.value_ray <= filled.bound_ray
    assert filled.gap_ray <= max(general.gap_ray, filled.bound_ray // 10**9, len(items) * RAY)


@settings(max_examples=150, deadline=None)
@given(one_budget(12, 3))
def test_a_small_budget_is_filled_as_by_brute_force(market: tuple[list[Item], int]) -> None:
    """To a unit: whole units are coarse here."""
    items, room = market
    answer = solve(items, [Cap(tuple(range(len(items))), room)])
    worth = [[Fraction(*i.curve.income(x)) for x in range(i.options[0].hi + 1)] for i in items]
    best = max(
        sum((w[x] for w, x in zip(worth, amounts, strict=True)), Fraction())
        for amounts in itertools.product(*(range(len(w)) for w in worth))
        if sum(amounts) <= room
    )
    unit = max((abs(y - x) for w in worth for x, y in pairwise(w)), default=Fraction())
    assert sum(answer.amounts) <= room
    assert answer.value_ray <= best <= answer.bound_ray
    assert best - answer.value_ray <= unit + RAY // 10**9


def test_a_budget_of_many_venues_is_filled_to_the_unit() -> None:
    """Fifty pots alike and a flat rate: each pot down to the rate, and what is left at the rate."""
    pot = FixedPot(4 * 10**12 * RAY // 100, 10**12)
    items = [Item(pot, whole(0, 10**13))] * 50 + [Item(Flat(RAY // 100), whole(0, 10**14))]
    answer = solve(items, [Cap(tuple(range(51)), 10**14)])
    assert answer.amounts == (10**12,) * 50 + (5 * 10**13,)
    assert answer.prices[0] == pytest.approx(RAY // 100, rel=1e-15)
    assert answer.gap_ray <= answer.bound_ray // 10**15

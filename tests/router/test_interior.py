"""The search in floats: its linear algebra against NumPy's, its optimum against water filling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.interior import Rows, factor, maximise, solve_factored
from router.segments import Segments

pytestmark = pytest.mark.unit


def pots(pots_: list[float], supplies: list[float], length: float) -> Segments:
    """Fixed pots: the marginal income pot * supply / (supply + x)^2 falls without end."""
    count = len(pots_)
    zero = np.zeros(count)
    return Segments(zero, np.full(count, length), zero, np.array(pots_), zero, np.array(supplies))


def rows(members: list[list[int]], room: list[float], count: int) -> Rows:
    pairs = [(row, k) for row, m in enumerate(members) for k in m]
    index = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Rows(index[:, 0], index[:, 1], np.array(room), count)


AMOUNT = st.floats(0.01, 3.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(AMOUNT, AMOUNT), min_size=2, max_size=20), st.floats(0.05, 5.0))
def test_all_that_is_used_earns_one_price(market: list[tuple[float, float]], money: float) -> None:
    """Karush, Kuhn and Tucker: the slope of whatever lies between its ends is the row's price."""
    p, s = [m[0] for m in market], [m[1] for m in market]
    segments = pots(p, s, 100.0)
    point = maximise(segments, rows([list(range(len(p)))], [money], len(p)))
    slope = segments.slope(point.y)
    price = float(point.prices[0])
    for k, y in enumerate(point.y.tolist()):
        if y > 1e-6:
            assert slope[k] == pytest.approx(price, rel=1e-6)
        else:
            assert slope[k] <= price * (1 + 1e-6)
    assert float(point.y.sum()) == pytest.approx(money, rel=1e-9)


def test_overlapping_rows_add_their_prices() -> None:
    segments = pots([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 10.0)
    point = maximise(segments, rows([[0, 1, 2], [0, 1], [1, 2]], [3.0, 0.5, 0.4], 3))
    own = np.array([point.prices[0] + point.prices[1], point.prices.sum(),
                    point.prices[0] + point.prices[2]])  # fmt: skip
    used = point.y > 1e-8
    assert np.allclose(segments.slope(point.y)[used], own[used], rtol=1e-6)
    assert point.y[0] + point.y[1] <= 0.5 + 1e-9
    assert point.y[1] + point.y[2] <= 0.4 + 1e-9


def test_what_no_row_holds_down_is_filled_to_its_crest_or_its_end() -> None:
    zero, one = np.zeros(1), np.ones(1)
    lending = Segments(zero, np.array([9.0]), zero, zero, one, one)  # x/(1+x)^2 peaks at 1
    point = maximise(lending, rows([[0]], [100.0], 1))
    assert point.y[0] == pytest.approx(1.0, rel=1e-5)


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_factored_equations_are_numpys(size: int, seed: int) -> None:
    r = np.random.default_rng(seed)
    half = r.normal(size=(size, size + 2))
    matrix, right = half @ half.T + 0.1 * np.eye(size), r.normal(size=size)
    answer = solve_factored(*factor(matrix), right)
    assert np.allclose(matrix @ answer, right, atol=1e-8)


def test_the_normal_equations_are_those_of_the_dense_matrix() -> None:
    members = [[0, 1, 2, 3], [1, 3], [0, 3]]
    found = rows(members, [1.0] * 3, 4)
    dense = np.array([[1.0 if k in m else 0.0 for k in range(4)] for m in members])
    weight = np.array([0.5, 2.0, 3.0, 7.0])
    assert np.array_equal(found.normal(weight), dense @ np.diag(weight) @ dense.T)
    assert np.array_equal(found.sums(weight), dense @ weight)
    assert np.array_equal(found.prices(np.array([1.0, 10.0, 100.0])), dense.T @ [1.0, 10.0, 100.0])

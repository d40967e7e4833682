"""An interior-point method for separable concave incomes under sums with caps. Floats; a search.

    maximise sum of g_k(y_k)  over  0 <= y_k <= length_k,  sum of y_k over each row <= room_row

with g_k(y) = F_k(start_k + y) - F_k(start_k), F as in `router/segments.py`.
Primal-dual with Mehrotra's predictor and corrector (S. Mehrotra, "On the Implementation of a
Primal-Dual Interior Point Method", SIAM J. Optim. 2(4), 1992); the linear system has one row a cap.

Nothing here is believed: `router/integers.py` makes integers of the answer, and `router/duality.py`
proves, in integers, how far the best can be. So that two machines search alike, only operations
that IEEE 754 defines to the last bit are used, in a fixed order: no BLAS, no transcendental
functions, sums by `bincount`, which adds one after the other.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from router.segments import Floats, Segments

Ints = NDArray[np.int64]

ITERATIONS_MAX = 80
COMPLEMENTARITY = 1e-12
"""Of the objective: what the prices may leave unexplained, over all rows and bounds."""
TO_THE_WALL = 0.9995
HALVINGS = 6
PIVOT_MIN = 1e-300


@dataclass(frozen=True, slots=True)
class Rows:
    """Which segments each cap adds up: pairs (row, segment), a row's pairs together."""

    row: Ints
    segment: Ints
    room: Floats
    count: int
    """Of segments."""
    first: Ints = field(init=False)
    second: Ints = field(init=False)
    cell: Ints = field(init=False)

    def __post_init__(self) -> None:
        """All pairs of rows that share a segment, for the normal equations."""
        order = np.argsort(self.segment, kind="stable")
        row, segment = self.row[order], self.segment[order]
        begins = np.searchsorted(segment, np.arange(self.count + 1))
        held = np.diff(begins)
        repeated = held[segment]
        first = np.repeat(np.arange(len(row)), repeated)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(repeated) - repeated, repeated)
        second = begins[segment[first]] + offset
        size = len(self.room)
        object.__setattr__(self, "first", segment[first])
        object.__setattr__(self, "second", row[second])
        object.__setattr__(self, "cell", row[first] * size + row[second])

    def sums(self, y: Floats) -> Floats:
        return _sums(self.row, y[self.segment], len(self.room))

    def prices(self, prices: Floats) -> Floats:
        """What a unit of each segment pays: the sum over its rows."""
        return _sums(self.segment, prices[self.row], self.count)

    def normal(self, weight: Floats) -> Floats:
        """M diag(weight) M^T."""
        size = len(self.room)
        flat = _sums(self.cell, weight[self.first], size * size)
        return flat.reshape(size, size)


def _sums(index: Ints, weights: Floats, count: int) -> Floats:
    """One after the other, in their order."""
    return np.bincount(index, weights, count).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class Point:
    """Amounts and prices, and how often the system was solved."""

    y: Floats
    prices: Floats
    iterations: int


@dataclass(slots=True)
class _State:
    """y, what it lacks to its length and its rows to their rooms, and the multipliers of all three.
    What is lacking has a number of its own: as a difference it would lose its last digits."""

    y: Floats
    above: Floats
    left: Floats
    price: Floats
    low: Floats
    high: Floats

    def moved(self, step: "_State", by: float) -> "_State":
        return _State(
            self.y + by * step.y,
            self.above + by * step.above,
            self.left + by * step.left,
            self.price + by * step.price,
            self.low + by * step.low,
            self.high + by * step.high,
        )

    def sound(self) -> bool:
        parts = (self.y, self.above, self.left, self.price, self.low, self.high)
        return all(bool(np.all((part > 0.0) & (part < np.inf))) for part in parts)


def maximise(segments: Segments, rows: Rows) -> Point:
    """Requires every length and every room to be above zero, and at least one row."""
    with np.errstate(
        over="ignore", divide="ignore", invalid="ignore"
    ):  # unsound steps are not taken
        return _climb(segments, rows)


def _climb(segments: Segments, rows: Rows) -> Point:
    state = _begin(segments, rows)
    count = 2 * len(segments.length) + len(rows.room)
    iterations = 0
    for iterations in range(1, ITERATIONS_MAX + 1):  # noqa: B007
        bend = segments.bend(state.y)
        residual = rows.prices(state.price) - segments.slope(state.y) - state.low + state.high
        mu = _complementarity(state) / count
        worth = float(np.cumsum(np.abs(segments.gain(state.y)))[-1])
        error = float(np.max(np.abs(residual) * segments.length))
        if mu * count <= COMPLEMENTARITY * worth and error <= COMPLEMENTARITY * worth:
            break
        system = _System(state, bend, residual, rows)
        aim = system.step(0.0, None)
        tried = state.moved(aim, _reach(state, aim))
        ratio = _complementarity(tried) / count / mu
        step = system.step(ratio * ratio * ratio * mu, aim)
        by = min(1.0, TO_THE_WALL * _reach(state, step))
        following = _forward(segments, rows, state, step, by, (mu, error))
        if not following.sound():
            break  # as near as these numbers get
        state = following
    return Point(state.y, state.price, iterations)


def _begin(segments: Segments, rows: Rows) -> _State:
    """Half of what fits everywhere, and multipliers of one size."""
    full = rows.sums(segments.length)
    tightest = np.full(rows.count, 1.0)
    np.minimum.at(tightest, rows.segment, (rows.room / full)[rows.row])
    y = 0.5 * np.minimum(tightest, 1.0) * segments.length
    left = rows.room - rows.sums(y)
    steep = np.abs(segments.slope(y)) * y
    mu = float(np.cumsum(steep)[-1]) / len(y) + 1e-30
    above = segments.length - y
    return _State(y, above, left, mu / left, mu / y, mu / above)


def _complementarity(state: _State) -> float:
    bounds = np.cumsum(state.low * state.y + state.high * state.above)[-1]
    return float(bounds + np.cumsum(state.price * state.left)[-1])


def _reach(state: _State, step: _State) -> float:
    """The longest step, up to 1, on which nothing turns negative."""
    fastest = max(
        float(np.max(-change / value))
        for value, change in (
            (state.y, step.y),
            (state.above, step.above),
            (state.left, step.left),
            (state.price, step.price),
            (state.low, step.low),
            (state.high, step.high),
        )
    )
    return 1.0 / max(fastest, 1.0)


def _forward(
    segments: Segments,
    rows: Rows,
    state: _State,
    step: _State,
    by: float,
    before: tuple[float, float],
) -> _State:
    """The step, halved while it makes the slopes fit the prices far worse than they did."""
    mu, error = before
    for _ in range(HALVINGS):
        found = state.moved(step, by)
        residual = rows.prices(found.price) - segments.slope(found.y) - found.low + found.high
        if float(np.max(np.abs(residual) * segments.length)) <= 2.0 * error + 10.0 * mu:
            return found
        by *= 0.5
    return found


class _System:
    """Newton's equations at one state, factored once for both of Mehrotra's steps."""

    def __init__(self, state: _State, bend: Floats, residual: Floats, rows: Rows) -> None:
        self._state, self._residual, self._rows = state, residual, rows
        self._inverse = 1.0 / (bend + state.low / state.y + state.high / state.above)
        matrix = rows.normal(self._inverse)
        matrix[np.diag_indices_from(matrix)] += state.left / state.price
        self._lower, self._diagonal = factor(matrix)

    def step(self, mu: float, aim: _State | None) -> _State:
        """Towards complementarity mu; with `aim`, corrected for what the first step left out."""
        now, above = self._state, self._state.above
        low, high, left = now.low * now.y - mu, now.high * above - mu, now.price * now.left - mu
        if aim is not None:
            low = low + aim.low * aim.y
            high = high - aim.high * aim.y
            left = left + aim.price * aim.left
        wanted = -self._residual - low / now.y + high / above
        right = self._rows.sums(self._inverse * wanted) - left / now.price
        price = solve_factored(self._lower, self._diagonal, right)
        y = self._inverse * (wanted - self._rows.prices(price))
        return _State(
            y,
            -y,
            -self._rows.sums(y),
            price,
            (-low - now.low * y) / now.y,
            (-high + now.high * y) / above,
        )


def factor(matrix: Floats) -> tuple[Floats, Floats]:
    """L D L^T of a positive definite matrix: L with ones left out, and D."""
    work, size = matrix.copy(), len(matrix)
    lower, diagonal = np.zeros_like(work), np.empty(size)
    for j in range(size):
        pivot = max(float(work[j, j]), PIVOT_MIN)
        diagonal[j] = pivot
        column = work[j + 1 :, j] / pivot
        lower[j + 1 :, j] = column
        work[j + 1 :, j + 1 :] -= column[:, None] * work[j, j + 1 :]
    return lower, diagonal


def solve_factored(lower: Floats, diagonal: Floats, right: Floats) -> Floats:
    """By columns, so that nothing is summed in an order of its own."""
    answer = right.copy()
    size = len(answer)
    for j in range(size - 1):
        answer[j + 1 :] -= lower[j + 1 :, j] * answer[j]
    answer /= diagonal
    for j in range(size - 1, 0, -1):
        answer[:j] -= lower[j, :j] * answer[j]
    return answer

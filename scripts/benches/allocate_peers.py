"""How others allocate: HiGHS on linear pieces, SLSQP, greedy steps, proportional. Floats.

Each answers amounts in base units; what they earn is always counted on the true curves.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize, sparse

from router.curves import RAY, income_down
from scripts.benches.allocate_markets import Market

SEGMENTS = 100
GREEDY_STEPS = 1_000
MILP_GAP = 1e-6
MILP_TIME_S = 60.0

Amounts = Sequence[int]


def value(market: Market, amounts: Amounts) -> int:
    """Yearly income less yearly costs, in ray. Amounts in a gap are brought to its nearer side."""
    total = 0
    for item, x in zip(market.items, amounts, strict=True):
        option = next((o for o in item.options if o.lo <= x <= o.hi), None)
        if option is None:
            raise ValueError(f"{x} is in a gap")
        total += income_down(item.curve, x) - option.cost_ray
    return total


def _grids(market: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each venue: the lengths of its segments, their slopes, and its least amount; scaled."""
    unit = market.money
    lengths, slopes = [], []
    for item in market.items:
        lo, hi = item.options[0].lo, item.options[-1].hi
        points = [lo + (hi - lo) * k // SEGMENTS for k in range(SEGMENTS + 1)]
        worth = [income_down(item.curve, x) / RAY / unit for x in points]
        steps = np.diff([x / unit for x in points])
        lengths.append(steps)
        slopes.append(np.diff(worth) / np.where(steps > 0, steps, 1.0))
    least = np.array([item.options[0].lo / unit for item in market.items])
    return np.array(lengths), np.array(slopes), least


def _members(market: Market) -> sparse.csr_matrix:
    rows = [n for n, cap in enumerate(market.caps) for _ in cap.members]
    columns = [i for cap in market.caps for i in cap.members]
    shape = (len(market.caps), len(market.items))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _whole(market: Market, scaled: np.ndarray) -> list[int]:
    """Base units, rounded down, each within its option."""
    found = []
    for item, x in zip(market.items, scaled.tolist(), strict=True):
        amount = int(x * market.money)
        ends = [min(max(amount, o.lo), o.hi) for o in item.options]
        found.append(min(ends, key=lambda end: abs(end - amount)))
    return found


def highs(market: Market) -> list[int]:
    """A linear program over the segments; right where incomes are concave."""
    lengths, slopes, least = _grids(market)
    spread = sparse.kron(sparse.eye(len(market.items)), np.ones((1, SEGMENTS)), format="csr")
    matrix = _members(market)
    room = np.array([cap.room / market.money for cap in market.caps]) - matrix @ least
    bounds = np.stack([np.zeros(lengths.size), lengths.ravel()], axis=1)
    answer = optimize.linprog(
        -slopes.ravel(), A_ub=matrix @ spread, b_ub=room, bounds=bounds, method="highs"
    )
    return _whole(market, least + answer.x.reshape(lengths.shape).sum(axis=1))


def slsqp(market: Market) -> list[int]:
    """Sequential quadratic programming on the curves themselves."""
    unit = market.money
    lows = np.array([item.options[0].lo / unit for item in market.items])
    highs_ = np.array([item.options[-1].hi / unit for item in market.items])
    matrix = _members(market).toarray()
    room = np.array([cap.room / unit for cap in market.caps])

    def loss(x: np.ndarray) -> float:
        return -sum(
            income_down(item.curve, max(int(v * unit), 0)) / RAY / unit
            for item, v in zip(market.items, x.tolist(), strict=True)
        )

    start = lows + 0.3 * np.minimum(highs_ - lows, 1.0 / len(lows))
    answer = optimize.minimize(
        loss,
        start,
        method="SLSQP",
        bounds=list(zip(lows, highs_, strict=True)),
        constraints=[{"type": "ineq", "fun": lambda x: room - matrix @ x}],
        options={"maxiter": 100, "ftol": 1e-10, "eps": 1e-7},
    )
    return repaired(market, _whole(market, np.clip(answer.x, lows, highs_)))


def greedy(market: Market) -> list[int]:
    """A thousandth of the money at a time to whom it earns most."""
    step = max(market.money // GREEDY_STEPS, 1)
    amounts = [item.options[0].lo for item in market.items]
    left = [cap.room - sum(amounts[i] for i in cap.members) for cap in market.caps]
    of = [[n for n, cap in enumerate(market.caps) if i in cap.members] for i in range(len(amounts))]
    now = [income_down(item.curve, x) for item, x in zip(market.items, amounts, strict=True)]
    gains = [_next(market, i, amounts[i], now[i], step) for i in range(len(amounts))]
    for _ in range(2 * GREEDY_STEPS):
        open_ = [i for i, g in enumerate(gains) if g > 0 and all(left[n] >= step for n in of[i])]
        if not open_:
            break
        i = max(open_, key=gains.__getitem__)
        amounts[i] += step
        now[i] += gains[i]
        for n in of[i]:
            left[n] -= step
        gains[i] = _next(market, i, amounts[i], now[i], step)
    return amounts


def _next(market: Market, i: int, x: int, worth: int, step: int) -> int:
    item = market.items[i]
    return income_down(item.curve, x + step) - worth if x + step <= item.options[-1].hi else 0


def proportional(market: Market) -> list[int]:
    """By what each venue pays for its first part, cut to what fits."""
    first = [
        income_down(item.curve, max(item.options[-1].hi // 100, 1)) / RAY for item in market.items
    ]
    shares = np.array(first) / sum(first)
    hi = np.array([item.options[-1].hi / market.money for item in market.items])
    return repaired(market, _whole(market, np.minimum(shares, hi)))


def repaired(market: Market, found: Amounts) -> list[int]:
    """Cut down, cap by cap, until all hold."""
    amounts = list(found)
    for cap in market.caps:
        held = sum(amounts[i] for i in cap.members)
        if held > cap.room:
            for i in cap.members:
                amounts[i] = amounts[i] * cap.room // held
    return amounts


def highs_milp(market: Market) -> list[int]:
    """A mixed-integer program: segments, and for each venue whether it is left or entered."""
    lengths, slopes, least = _grids(market)
    count, unit = len(market.items), market.money
    held = np.array(market.held) / unit
    hi = np.array([item.options[-1].hi / unit for item in market.items])
    ticket, cost = _ticket_and_cost(market)
    spread = sparse.kron(sparse.eye(count), np.ones((1, SEGMENTS)), format="csr")
    one = sparse.eye(count, format="csr")
    up, down = sparse.diags(hi - held), sparse.diags(held - least)
    rows = sparse.bmat(
        [
            [_members(market) @ spread, None, None],
            [spread, -up, ticket * one],
            [-spread, ticket * one, -down],
            [None, one, one],
        ],
        format="csr",
    )
    room = np.array([cap.room / unit for cap in market.caps]) - _members(market) @ least
    top = np.concatenate([room, held - least, least - held, np.ones(count)])
    objective = np.concatenate([-slopes.ravel(), np.full(2 * count, cost)])
    integrality = np.concatenate([np.zeros(lengths.size), np.ones(2 * count)])
    upper = np.concatenate([lengths.ravel(), np.ones(2 * count)])
    answer = optimize.milp(
        objective,
        integrality=integrality,
        bounds=optimize.Bounds(np.zeros(len(upper)), upper),
        constraints=optimize.LinearConstraint(rows, -np.inf, top),
        options={"mip_rel_gap": MILP_GAP, "time_limit": MILP_TIME_S},
    )
    taken = answer.x[: lengths.size].reshape(lengths.shape).sum(axis=1)
    return _whole(market, least + taken)


def _ticket_and_cost(market: Market) -> tuple[float, float]:
    for item, held in zip(market.items, market.held, strict=True):
        last = item.options[-1]
        if last.lo > held:
            return (last.lo - held) / market.money, last.cost_ray / RAY / market.money
    raise ValueError("no venue can be entered")

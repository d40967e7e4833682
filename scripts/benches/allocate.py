"""The allocator against HiGHS, SLSQP, greedy steps and proportional shares, on the same markets.

Times are CPU of this process, medians over MARKETS markets. Ours are taken before any peer runs:
threads that a peer's linear algebra leaves spinning would be counted as ours. What an answer is
worth is counted on the true curves in whole base units. HiGHS has SEGMENTS linear pieces a venue,
as a user of it has.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from router.solver import Solution, solve
from scripts.benches import allocate_markets as markets
from scripts.benches import allocate_peers as peers
from scripts.benches.allocate_markets import Market
from scripts.benches.form import Measure

MARKETS = 7
SHARES_OF_POOLS = (0.01, 0.1, 0.3, 1.0, 3.0)
HIGHS = "HiGHS, 100 segments"
MILP = "HiGHS MILP, 100 segments"

T = TypeVar("T")
Peer = tuple[str, Callable[[Market], list[int]]]
QUICK: tuple[Peer, ...] = (
    (HIGHS, peers.highs),
    ("greedy", peers.greedy),
    ("proportional", peers.proportional),
)
ALL: tuple[Peer, ...] = (*QUICK, ("SLSQP", peers.slsqp))


@dataclass(frozen=True)
class Row:
    """One instance of the issue's table. `gap` is relative to the bound, `against` the peer whose
    answer ours must reach but for `short`."""

    name: str
    markets: tuple[Market, ...]
    bar_ms: float
    gap: float | None
    against: str
    short: float
    peers: tuple[Peer, ...]


def rows() -> list[Row]:
    seeds = range(MARKETS)
    kinks = [markets.above_the_kink(seed, share) for share in SHARES_OF_POOLS for seed in range(3)]
    own = tuple(markets.own_caps(s) for s in seeds)
    twenty = tuple(markets.grouped(s, 100, 20, 25) for s in seeds)
    hundred = tuple(markets.grouped(s, 1_000, 100, 60) for s in range(3))
    costs = tuple(markets.with_costs(s) for s in range(3))
    milp: Peer = (MILP, peers.highs_milp)
    return [
        Row("100 venues, own caps", own, 10, 1e-9, HIGHS, 0.0, ALL),
        Row("100 venues x 20 groups", twenty, 50, 1e-6, HIGHS, 0.0, QUICK),
        Row("1,000 venues x 100 groups", hundred, 1_000, 1e-6, HIGHS, 0.0, QUICK),
        Row("30 % above the kink", tuple(kinks), 1_000, 1e-3, HIGHS, 0.0, QUICK),
        Row("gas and tickets, 100 venues", costs, 1_000, None, MILP, 1e-4, (milp,)),
    ]


def measure() -> list[Measure]:
    solve(markets.own_caps(99).items, markets.own_caps(99).caps)  # imports and first calls
    solved = [(row, [_timed(_ours, market) for market in row.markets]) for row in rows()]
    return [found for row, answers in solved for found in _measure(row, answers)]


def _measure(row: Row, answers: Sequence[tuple[Solution, float]]) -> list[Measure]:
    times = [took for _, took in answers]
    gaps = [ours.gap_ray / max(ours.bound_ray, 1) for ours, _ in answers]
    broken = 0
    worth: dict[str, list[float]] = {name: [] for name, _ in row.peers}
    spent: dict[str, list[float]] = {name: [] for name, _ in row.peers}
    for market, (ours, _) in zip(row.markets, answers, strict=True):
        broken += _broken(market, ours.amounts)
        for name, peer in row.peers:
            theirs, took = _timed(peer, market)
            spent[name].append(took)
            worth[name].append(_ratio(market, ours, theirs))
    return [
        Measure(
            f"{row.name}: time",
            round(statistics.median(times), 2),
            "ms CPU",
            None,
            row.bar_ms,
            at_most=True,
        ),
        Measure(
            f"{row.name}: worst certified gap",
            max(gaps),
            "of the bound",
            None,
            row.gap,
            at_most=True,
        ),
        Measure(f"{row.name}: caps broken", broken, "caps", None, 0, at_most=True),
        *_compared(row, times, worth, spent),
    ]


def _compared(
    row: Row,
    times: Sequence[float],
    worth: dict[str, list[float]],
    spent: dict[str, list[float]],
) -> list[Measure]:
    found = []
    for name, _ in row.peers:
        bar = 1.0 - row.short if name == row.against else None
        found.append(Measure(f"{row.name}: value, worst", min(worth[name]), "of theirs", name, bar))
        faster = statistics.median(spent[name]) / statistics.median(times)
        found.append(Measure(f"{row.name}: faster", round(faster, 2), "times", name))
    return found


def _ours(market: Market) -> Solution:
    return solve(market.items, market.caps, start=market.held)


def _timed(work: Callable[[Market], T], market: Market) -> tuple[T, float]:
    start = time.process_time_ns()
    answer = work(market)
    return answer, (time.process_time_ns() - start) / 1e6


def _ratio(market: Market, ours: Solution, theirs: Sequence[int]) -> float:
    """Theirs counts only where it holds every cap."""
    if _broken(market, theirs):
        theirs = peers.repaired(market, theirs)
    return ours.value_ray / max(peers.value(market, theirs), 1)


def _broken(market: Market, amounts: Sequence[int]) -> int:
    return sum(sum(amounts[i] for i in cap.members) > cap.room for cap in market.caps)

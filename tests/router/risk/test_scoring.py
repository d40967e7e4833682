"""From risk card to tier: the table of the written semantics."""

import pytest

from router.risk.scoring import score_up, verdict
from router.risk.terms import Card, Factor, Gate, Scoring
from router.tiers import ORDER, Tier

pytestmark = pytest.mark.unit

SCORING = Scoring(
    {
        Factor.CONTRACT: 3333, Factor.MARKET: 3333, Factor.LIQUIDITY: 3334,
        Factor.COUNTERPARTY: 0, Factor.GOVERNANCE: 0,
    },
    {Tier.CASH: 20, Tier.BONDS: 40, Tier.STAKING: 60, Tier.STRATEGIES: 80},
    {
        Gate.UNVERIFIED_SOURCE: None, Gate.NO_AUDIT: Tier.STRATEGIES,
        Gate.UNVERIFIABLE_RESERVES: None, Gate.SINGLE_KEY: Tier.BONDS,
    },
)  # fmt: skip


def of(*ratings: int, gates: tuple[Gate, ...] = ()) -> Card:
    rated = dict(zip(Factor, (*ratings, 100, 100), strict=True))
    return Card("p", "c", (), "k", None, rated, frozenset(gates))


@pytest.mark.parametrize(
    ("card", "score", "tier", "reason"),
    [
        (of(0, 0, 0), 0, Tier.CASH, "score 0"),
        (of(20, 20, 20), 20, Tier.CASH, "score 20"),
        (of(20, 20, 21), 21, Tier.BONDS, "score 21"),  # 20.33 is rounded up
        (of(40, 40, 40), 40, Tier.BONDS, "score 40"),
        (of(41, 40, 40), 41, Tier.STAKING, "score 41"),
        (of(80, 80, 80), 80, Tier.STRATEGIES, "score 80"),
        (of(81, 81, 81), 81, None, "score 81 is above that of every tier"),
        (of(0, 0, 0, gates=(Gate.NO_AUDIT,)), 0, Tier.STRATEGIES, "no_audit, score 0"),
        (of(0, 0, 0, gates=(Gate.SINGLE_KEY,)), 0, Tier.BONDS, "single_key, score 0"),
        (of(50, 50, 50, gates=(Gate.SINGLE_KEY,)), 50, Tier.STAKING, "score 50"),
        (of(0, 0, 0, gates=(Gate.UNVERIFIED_SOURCE,)), 0, None, "unverified_source bars it"),
        (of(0, 0, 0, gates=(Gate.UNVERIFIABLE_RESERVES, Gate.NO_AUDIT)), 0, None,
         "unverifiable_reserves bars it"),
        (of(0, 0, 0, gates=(Gate.NO_AUDIT, Gate.SINGLE_KEY)), 0, Tier.STRATEGIES,
         "no_audit, score 0"),
    ],
)  # fmt: skip
def test_table(card: Card, score: int, tier: Tier | None, reason: str) -> None:
    found = verdict(card, SCORING)
    assert (found.score, found.tier, found.reason) == (score, tier, reason)


@pytest.mark.parametrize("gates", [(), (Gate.SINGLE_KEY,), (Gate.NO_AUDIT,)])
def test_worse_ratings_and_more_gates_are_never_safer(gates: tuple[Gate, ...]) -> None:
    def rank(card: Card) -> int:
        tier = verdict(card, SCORING).tier
        return len(ORDER) if tier is None else ORDER.index(tier)

    for first in range(0, 101, 7):
        for second in range(0, 100, 7):
            here = of(first, second, 50)
            assert score_up(of(first, second + 1, 50), SCORING) >= score_up(here, SCORING)
            assert rank(of(first, second, 50, gates=gates)) >= rank(here)

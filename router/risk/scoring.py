"""From a risk card to a tier. Pure.

Semantics:
1. The score is the mean of the ratings under the document's weights (basis points that sum to
   10,000), rounded up to a whole number: 0 is best, 100 worst.
2. The score's tier is the least risky one whose `score_max` is not below the score; a score above
   all of them has no tier.
3. Each gate that applies to the card lifts the tier to the gate's own, if that is riskier, or bars
   the venue. Gates never make a venue safer.
"""

from dataclasses import dataclass

from router.risk.terms import Card, Factor, Gate, Scoring
from router.tiers import ORDER, Tier, riskiest

WEIGHTS_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tier that a venue belongs to (None: it may get no money) and what decided it."""

    tier: Tier | None
    score: int
    reason: str


def score_up(card: Card, scoring: Scoring) -> int:
    """From 0 to 100, rounded up: in doubt riskier."""
    total = sum(scoring.weights_bps[f] * card.ratings[f] for f in Factor)
    return -(-total // WEIGHTS_BPS)


def verdict(card: Card, scoring: Scoring) -> Verdict:
    """The computed tier by the three steps above."""
    score = score_up(card, scoring)
    found = next((t for t in ORDER if score <= scoring.score_max[t]), None)
    if found is None:
        return Verdict(None, score, f"score {score} is above that of every tier")
    reason = f"score {score}"
    for gate in (g for g in Gate if g in card.gates):
        least = scoring.gates[gate]
        if least is None:
            return Verdict(None, score, f"{gate.value} bars it")
        if riskiest([found, least]) is not found:
            found, reason = least, f"{gate.value}, score {score}"
    return Verdict(found, score, reason)

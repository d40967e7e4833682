"""Random pools under random policies of the second schema, small enough to count by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from router.limits import VenueFacts, limited
from router.policy import RebalanceRule, RiskPolicy
from router.problem import AllocationInput, VenueInput
from router.risk.terms import (
    EVERY,
    By,
    Card,
    Depeg,
    EntryRules,
    Factor,
    Gate,
    GroupRule,
    LockUp,
    RiskTerms,
    Rung,
    Scoring,
)
from router.tiers import WAD, Limits, Tier, VenueLimit, share_down
from tests.router.markets import curves

SCORING = Scoring(
    dict.fromkeys(Factor, 2000), dict.fromkeys(Tier, 100), dict.fromkeys(Gate, Tier.STRATEGIES)
)
OPEN = EntryRules(0, WAD, WAD, WAD, 10**28, 3600)
RULE = RebalanceRule(horizon_s=31_536_000, min_gain=0, ticket=1, cooldown_s=0)
HOUR, DAY = 3600, 86_400
TIMES = st.sampled_from([0, HOUR, DAY, 5 * DAY, None])


def card(protocol: str = "p", *issuers: str, kind: str = "lending", oracle: str = "o") -> Card:
    rated = dict.fromkeys(Factor, 0)
    return Card(protocol, "eip155:1", issuers, kind, oracle, rated, frozenset())


def terms(cards: Mapping[str, Card], **changes: object) -> RiskTerms:
    """Terms that ask nothing, but for `changes`."""
    body: dict[str, object] = {
        "delay_s": DAY, "scoring": SCORING, "cards": cards,
        "entry": dict.fromkeys(cards, OPEN), "groups": (), "quantile_wad": WAD, "ladder": (),
        "lock_ups": (), "freezes_s": (), "depegs": (), "turnover_share_wad": None,
    }  # fmt: skip
    return RiskTerms(**{**body, **changes})  # type: ignore[arg-type]


def policy_of(found: RiskTerms, problem: AllocationInput) -> RiskPolicy:
    placed = {v.id: v.tier for v in problem.venues}
    return RiskPolicy("pool", 1, None, problem.limits, placed, problem.rule, None, "h", found)


@dataclass(frozen=True)
class Market:
    problem: AllocationInput
    policy: RiskPolicy
    facts: dict[str, VenueFacts]
    needs: dict[int, int]

    @property
    def limited(self) -> AllocationInput:
        return limited(self.problem, self.policy, self.facts, self.needs)


SIZE = 10**9
AMOUNTS, SHARES = st.integers(0, SIZE), st.integers(0, WAD)
SOME, PART, MAYBE = st.just(0) | AMOUNTS, st.just(WAD) | SHARES, st.none() | AMOUNTS
# Drawn at once: many small draws take longer than what is tested.
VENUES = st.fixed_dictionaries({
    "tier": st.sampled_from(list(Tier)), "curve": curves(SIZE), "position": SOME,
    "leaves": PART, "capacity": MAYBE, "exit_s": TIMES, "maturity_s": st.sampled_from([0, 0, DAY]),
    "liquidity": MAYBE, "supply": MAYBE, "used": st.none() | SHARES,
    "issuers": st.sampled_from([(), ("circle",), ("lido",), ("circle", "lido")]),
    "protocol": st.sampled_from("abc"), "entry": st.tuples(PART, PART, PART),
    "cap": st.just(10**30) | AMOUNTS, "part": PART,
})  # fmt: skip
POLICIES = st.fixed_dictionaries({
    "idle": AMOUNTS, "reserved": SOME, "buffer": st.just(0) | SHARES,
    "tiers": st.tuples(PART, PART, PART, PART), "protocols": st.tuples(MAYBE, SHARES),
    "circle": AMOUNTS, "rungs": st.tuples(SHARES, SHARES), "lock": SHARES,
    "depeg": st.tuples(st.integers(1, WAD), SHARES), "turnover": st.none() | SHARES,
    "needs": st.tuples(SOME, SOME, SOME),
})  # fmt: skip


def markets(venues_max: int = 4) -> st.SearchStrategy[Market]:
    """Each share, amount and time over its whole range; names are few, so that groups overlap."""
    some = st.lists(VENUES, min_size=1, max_size=venues_max)
    return st.builds(_market, some, POLICIES)


def _market(drawn: list[dict[str, Any]], of: dict[str, Any]) -> Market:
    venues, facts, cards, entry, limits = [], {}, {}, {}, {}
    for i, d in enumerate(drawn):
        id_, position = f"v{i}", d["position"]
        leaves = share_down(position, d["leaves"])
        venues.append(VenueInput(id_, d["tier"], d["curve"], position, leaves, d["capacity"]))
        facts[id_] = VenueFacts(
            d["exit_s"], d["maturity_s"], d["liquidity"], d["supply"], d["used"], 0, 0
        )
        cards[id_] = card(d["protocol"], *d["issuers"])
        # A least size is left to its own test: the shares here may forbid any such size.
        supply, liquidity, used = d["entry"]
        entry[id_] = EntryRules(0, supply, liquidity, used, 10**28, 3600)
        limits[id_] = VenueLimit(d["cap"], d["part"])
    found = terms(
        cards,
        entry=entry,
        groups=(
            GroupRule(By.PROTOCOL, EVERY, *of["protocols"]),
            GroupRule(By.ISSUER, "circle", of["circle"], None),
        ),
        ladder=(Rung(HOUR, of["rungs"][0]), Rung(2 * DAY, of["rungs"][1])),
        lock_ups=(LockUp(DAY, of["lock"]),),
        freezes_s=(5 * DAY,),
        depegs=(Depeg("circle", *of["depeg"]),),
        turnover_share_wad=of["turnover"],
    )
    tiers = dict(zip(Tier, of["tiers"], strict=True))
    problem = AllocationInput(
        of["idle"], of["reserved"], tuple(venues), Limits(of["buffer"], tiers, limits), RULE
    )
    needs = dict(zip(found.horizons_s(), of["needs"], strict=True))
    return Market(problem, policy_of(found, problem), facts, needs)

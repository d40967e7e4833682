"""What a policy says, in base units: each rule by hand, and never to the mild side."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from router.limits import VenueFacts, limited, need_up, own_share_down, stuck_of, total_of
from router.plan_json import problem_from_json, problem_to_json
from router.problem import AllocationInput, VenueInput
from router.risk.terms import EVERY, By, Depeg, EntryRules, GroupRule, LockUp, Rung
from router.stated_curves import Flat
from router.tiers import WAD, Limits, Tier, VenueLimit
from tests.router.risk.worlds import (
    DAY,
    HOUR,
    RULE,
    Market,
    card,
    markets,
    policy_of,
    terms,
)

pytestmark = pytest.mark.unit

PERCENT = WAD // 100
INSTANT = VenueFacts(exit_s=0, rate_ray=0, rate_age_s=0)
CARDS = {
    "a": card("aave", "circle"),
    "b": card("morpho", "circle", "lido"),
    "c": card("aave", kind="staking"),
}


def problem(a: int = 0, b: int = 0, c: int = 0, idle: int = 1000, **venue: Any) -> AllocationInput:
    """Three venues whose money can all leave, unless `venue` changes the first."""
    amounts = {"a": a, "b": b, "c": c}
    venues = [VenueInput(id_, Tier.CASH, Flat(0), x, x) for id_, x in amounts.items()]
    venues[0] = replace(venues[0], **venue)
    limits = Limits(0, {Tier.CASH: WAD}, dict.fromkeys(amounts, VenueLimit(10**30, WAD)))
    return AllocationInput(idle, 0, tuple(venues), limits, RULE)


def under(
    asked: AllocationInput,
    facts: Mapping[str, VenueFacts] | None = None,
    needs: Mapping[int, int] | None = None,
    **rules: Any,
) -> AllocationInput:
    given_ = {"a": INSTANT, "b": INSTANT, "c": INSTANT, **(facts or {})}
    return limited(asked, policy_of(terms(CARDS, **rules), asked), given_, needs or {})


def groups(found: AllocationInput) -> dict[str, tuple[str, int]]:
    return {g.name: ("".join(sorted(g.venues)), g.cap) for g in found.groups}


SLOW = VenueFacts(exit_s=2 * DAY, rate_ray=0, rate_age_s=0)
UNKNOWN = VenueFacts(exit_s=None, rate_ray=0, rate_age_s=0)
BOUND = VenueFacts(exit_s=0, maturity_s=30 * DAY, rate_ray=0, rate_age_s=0)


@pytest.mark.parametrize(
    ("case", "rules", "facts", "needs", "wanted"),
    [
        ("by protocol", {"groups": (GroupRule(By.PROTOCOL, "aave", 600, None),)}, {}, {},
         {"protocol:aave": ("ac", 600)}),
        ("each protocol", {"groups": (GroupRule(By.PROTOCOL, EVERY, None, WAD // 2),)}, {}, {},
         {"protocol:aave": ("ac", 500), "protocol:morpho": ("b", 500)}),
        ("the smaller of two", {"groups": (GroupRule(By.ISSUER, "circle", 400, WAD // 2),)}, {}, {},
         {"issuer:circle": ("ab", 400)}),
        ("by kind", {"groups": (GroupRule(By.KIND, "staking", None, WAD // 3),)}, {}, {},
         {"kind:staking": ("c", 333)}),
        ("by tier", {"groups": (GroupRule(By.TIER, "cash", 700, None),)}, {}, {},
         {"tier:cash": ("abc", 700)}),
        ("what is all binds nothing", {"groups": (GroupRule(By.CHAIN, EVERY, None, WAD),)}, {}, {},
         {}),
        ("a rung", {"ladder": (Rung(DAY, 30 * PERCENT),)}, {"b": SLOW}, {},
         {"liquidity:86400": ("b", 700)}),
        ("what is foretold is more", {"ladder": (Rung(DAY, 30 * PERCENT),)}, {"b": SLOW},
         {DAY: 450}, {"liquidity:86400": ("b", 550)}),
        ("nobody says when", {"ladder": (Rung(3 * DAY, 30 * PERCENT),)}, {"a": UNKNOWN}, {},
         {"liquidity:259200": ("a", 700)}),
        ("a term counts", {"ladder": (Rung(3 * DAY, 30 * PERCENT),)}, {"c": BOUND, "b": SLOW}, {},
         {"liquidity:259200": ("c", 700)}),
        ("more than there is", {"ladder": (Rung(DAY, 0),)}, {"b": SLOW}, {DAY: 1001},
         {"liquidity:86400": ("b", -1)}),
        ("locked up", {"lock_ups": (LockUp(DAY, 10 * PERCENT), LockUp(7 * DAY, PERCENT))},
         {"b": SLOW, "c": BOUND}, {},
         {"lockup:86400": ("bc", 100), "lockup:604800": ("c", 10)}),
        ("frozen", {"freezes_s": (5 * DAY,), "ladder": (Rung(HOUR, 20 * PERCENT),)},
         {"c": BOUND}, {5 * DAY: 250},
         {"liquidity:3600": ("c", 750), "freeze:away:432000": ("c", 750),
          "freeze:a:432000": ("ac", 750), "freeze:b:432000": ("bc", 750)}),
        ("a depeg", {"depegs": (Depeg("circle", WAD * 3 // 10, 10 * PERCENT),)}, {}, {},
         {"depeg:circle": ("ab", 333)}),
    ],
)  # fmt: skip
def test_rules_that_bind_several(
    case: str, rules: Any, facts: Any, needs: Any, wanted: dict[str, tuple[str, int]]
) -> None:
    found = groups(under(problem(), facts, needs, **rules))
    assert found == wanted


@pytest.mark.parametrize(
    ("horizon_s", "exit_s", "cap"),
    [
        # of 300 in a, 200 wait in its queue for 10 hours; half of 1,000 must be home
        (9 * 3_600, 2 * DAY, ("ab", 500)),
        (10 * 3_600, 2 * DAY, ("ab", 700)),  # a is not home by then, what waits is
        (9 * 3_600, 0, ("b", 300)),
        (10 * 3_600, 0, ("b", 500)),
    ],
)
def test_what_waits_in_a_queue_that_moves_is_home_when_it_says_so(
    horizon_s: int, exit_s: int, cap: tuple[str, int]
) -> None:
    waits = problem(a=300, idle=700, withdrawable=100)
    facts = {"a": replace(SLOW, exit_s=exit_s, coming=((10 * 3_600, 200),)), "b": SLOW}
    ladder = (Rung(horizon_s, 50 * PERCENT),)
    found = groups(under(waits, facts, ladder=ladder, lock_ups=(LockUp(horizon_s, WAD // 10),)))
    assert found[f"liquidity:{horizon_s}"] == cap
    homing = 200 if "a" in cap[0] and horizon_s >= 36_000 else 0
    assert found[f"lockup:{horizon_s}"] == (cap[0], 100 + homing)


def test_a_queue_that_may_be_frozen_brings_nothing() -> None:
    """Of a and b, which both have 200 in a queue, the other one's comes."""
    waits = problem(a=200, b=200, idle=600, withdrawable=0)
    waits = replace(waits, venues=tuple(replace(v, withdrawable=0) for v in waits.venues))
    facts = {i: replace(INSTANT, coming=((HOUR, 200),)) for i in "ab"}
    found = groups(under(waits, facts, {5 * DAY: 300}, freezes_s=(5 * DAY,)))
    assert found["freeze:a:432000"] == ("a", 700)
    assert found["freeze:c:432000"] == ("c", 700)


def test_no_more_comes_than_waits() -> None:
    """A queue that says more than cannot leave is believed for that much."""
    waits = problem(a=300, idle=700, withdrawable=250)
    found = under(waits, {"a": replace(INSTANT, coming=((0, 10**6),)), "b": SLOW},
                  ladder=(Rung(DAY, 50 * PERCENT),))  # fmt: skip
    assert groups(found) == {"liquidity:86400": ("b", 500)}


def test_what_is_stuck_in_quick_venues_is_not_counted_on() -> None:
    stuck = problem(a=300, idle=700, withdrawable=100)
    found = under(stuck, {"b": SLOW}, ladder=(Rung(DAY, 30 * PERCENT),), freezes_s=(5 * DAY,))
    assert groups(found)["liquidity:86400"] == ("b", 700 - 200)
    assert groups(found)["freeze:a:432000"] == ("a", 700)
    assert groups(found)["freeze:c:432000"] == ("c", 700 - 200)


def test_a_need_that_quick_venues_cannot_meet_is_a_limit_too() -> None:
    rung = (Rung(DAY, 50 * PERCENT),)
    stuck = under(problem(a=800, idle=200, withdrawable=100), ladder=rung)
    assert groups(stuck) == {"liquidity:86400": ("a", 500)}
    poor = under(problem(), ladder=rung, needs={DAY: 1001})
    assert groups(poor) == {"liquidity:86400": ("abc", -1)}


ENTRY = EntryRules(50, WAD // 5, WAD // 2, 90 * PERCENT, 10**26, 60)
FULL = VenueFacts(0, 0, 900, 1000, 80 * PERCENT, 10**25, 30)


@pytest.mark.parametrize(
    ("facts", "refusal", "most", "limit"),
    [
        (FULL, "", 225, "supply_share_max"),  # 225 of 900 + 225 is a fifth
        (replace(FULL, liquidity=300), "", 200, "liquidity_share_max"),
        (replace(FULL, liquidity=99), "", 0, "liquidity_share_max"),  # ours is all that could go
        (replace(FULL, rate_age_s=61), "the rate is too old", 225, "supply_share_max"),
        (replace(FULL, rate_age_s=None), "nobody says how old the rate is", 225,
         "supply_share_max"),
        (replace(FULL, rate_ray=10**26 + 1), "the rate is above what is credible", 225,
         "supply_share_max"),
        (replace(FULL, rate_ray=None), "nobody says what it pays", 225, "supply_share_max"),
        (replace(FULL, utilisation_wad=90 * PERCENT), "", 225, "supply_share_max"),
        (replace(FULL, utilisation_wad=90 * PERCENT + 1), "too much of it is lent", 225,
         "supply_share_max"),
        (replace(FULL, utilisation_wad=None), "nobody says how much of it is lent", 225,
         "supply_share_max"),
        (replace(FULL, supply=None), "nobody says how much lies there", 800,
         "liquidity_share_max"),
        (replace(FULL, liquidity=None), "nobody says what could leave", 225, "supply_share_max"),
    ],
)  # fmt: skip
def test_rules_of_entry(facts: VenueFacts, refusal: str, most: int, limit: str) -> None:
    entry = {"a": ENTRY, "b": ENTRY, "c": ENTRY}
    found = under(problem(a=100), {"a": facts}, entry=entry).venues[0]
    assert (found.refusal, found.amount_max, found.limit) == (refusal, most, limit)
    assert found.size_min == 50


def test_an_earlier_refusal_stands_and_the_first_schema_adds_nothing() -> None:
    asked = problem(refusal="paused")
    assert under(asked, {"a": UNKNOWN}).venues[0].refusal == "paused"
    first = replace(policy_of(terms(CARDS), asked), terms=None)
    assert limited(asked, first, {}, {}) == asked


def test_turnover_is_a_share_of_the_pool() -> None:
    assert under(problem(), turnover_share_wad=WAD // 3).rule.turnover_max == 333
    assert under(problem()).rule.turnover_max is None


def test_a_need_never_falls_with_time() -> None:
    found = terms(CARDS, ladder=(Rung(HOUR, 50 * PERCENT), Rung(DAY, 10 * PERCENT)))
    needs = {HOUR: 30, DAY: 700, 5 * DAY: 600}
    asked = [need_up(found, needs, h, 1000) for h in (60, HOUR, 2 * HOUR, DAY, 5 * DAY, 9 * DAY)]
    assert asked == [30, 500, 700, 700, 700, 700]


@settings(max_examples=100, deadline=None)
@given(markets())
def test_caps_are_strict_to_the_unit(market: Market) -> None:
    """At the cap a rule holds in exact fractions; one more unit would break it."""
    found, total = market.limited, total_of(market.problem)
    rules = market.policy.terms
    assert rules is not None
    for v in found.venues:
        entry, facts = rules.entry[v.id], market.facts[v.id]
        for share, of_all, name in (
            (entry.supply_share_wad, facts.supply, "supply_share_max"),
            (entry.liquidity_share_wad, facts.liquidity, "liquidity_share_max"),
        ):
            if share == WAD or of_all is None:
                continue
            others, most = max(of_all - v.position, 0), v.amount_max
            assert most is not None
            assert most * WAD <= share * (others + most)
            assert v.limit != name or (most + 1) * WAD > share * (others + most + 1)
    depeg = rules.depegs[0]
    for g in found.groups:
        if g.name.startswith("depeg:"):
            loss = depeg.loss_share_max_wad * total // WAD
            assert g.cap * depeg.drop_wad <= loss * WAD < (g.cap + 1) * depeg.drop_wad


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(markets(venues_max=3), st.data())
def test_a_plan_within_the_groups_survives_its_stress(market: Market, data: st.DataObject) -> None:
    """Whichever venue freezes for five days, what is home by then pays what is needed; and by each
    rung; and a depeg costs no more than it may."""
    problem_, rules = market.limited, market.policy.terms
    assert rules is not None
    total, held = total_of(problem_), {v.id: stuck_of(v) for v in problem_.venues}
    assume(sum(held.values()) <= total)
    assume(all(sum(held[i] for i in g.venues) <= g.cap for g in problem_.groups))
    for v in problem_.venues:
        rooms = [
            g.cap - sum(held[i] for i in g.venues) for g in problem_.groups if v.id in g.venues
        ]
        room = min([total - sum(held.values()), *rooms])
        held[v.id] += data.draw(st.just(room) | st.integers(0, room))

    def home(horizon: int, frozen: str) -> int:
        """Idle, and what leaves the venues in time."""
        back = [v for v in problem_.venues if market.facts[v.id].home_by(horizon)]
        quick = sum(held[v.id] - stuck_of(v) for v in back if v.id != frozen)
        return total - sum(held.values()) + quick

    for horizon in rules.horizons_s():
        need = need_up(rules, market.needs, horizon, total)
        assert need <= total
        frozen = [v.id for v in problem_.venues] if horizon in rules.freezes_s else [""]
        assert all(home(horizon, id_) >= need for id_ in frozen)
    depeg = rules.depegs[0]
    exposed = sum(x for id_, x in held.items() if depeg.issuer in rules.cards[id_].issuers)
    assert exposed * depeg.drop_wad <= depeg.loss_share_max_wad * total


@settings(max_examples=100, deadline=None)
@given(markets())
def test_a_limited_problem_travels_as_json(market: Market) -> None:
    found = market.limited
    assert problem_from_json(problem_to_json(found)) == found


def test_a_stored_problem_of_before_is_read() -> None:
    body = problem_to_json(problem())
    del body["groups"]
    for name in ("turnover_max", "gas_max", "slippage_max_bps"):
        del body["rule"][name]
    for venue in body["venues"]:
        for name in ("amount_max", "limit", "size_min"):
            del venue[name]
    assert problem_from_json(body) == problem()


def test_own_share() -> None:
    assert own_share_down(900, WAD // 5) == 225
    assert own_share_down(901, WAD // 5) == 225
    assert own_share_down(10, 0) == 0

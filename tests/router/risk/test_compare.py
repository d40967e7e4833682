"""What loosens: a table of every field both ways, and what not loosening promises."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.levers import Bound, bounds
from router.policy import hash_of, parse
from router.risk.compare import changes, loosened
from router.risk.guard_rule import FIELDS, GuardRule
from router.risk.terms import By, GroupRule, LockUp, RiskTerms, Rung
from router.tiers import VenueLimit
from tests.router.risk.documents import GONE, GOOD, Path, changed, venue
from tests.router.risk.worlds import SHARES, Market, markets
from tests.router.test_policy import GOOD as FIRST

pytestmark = pytest.mark.unit

OLD = parse(GOOD)
RULES = ("venues", 0, "rules")
CARD = ("venues", 0, "card")

BOTH_WAYS: list[tuple[Path, Any, Any]] = [
    # a path, a looser value than that of GOOD, a tighter one (None: every other is looser)
    (("delay_s",), 86_399, 86_401),
    (("liquidity_buffer_share",), "0.09", "0.11"),
    (("scoring", "score_max", "strategies"), 81, 79),
    (("scoring", "gates", "no_audit"), "staking", "barred"),
    (("scoring", "gates", "unverified_source"), "strategies", None),
    (("tiers", 1, "share_max"), "0.21", "0.19"),
    (("venues", 0, "cap"), "1000001", "999999"),
    (("venues", 1, "share_max"), None, "0.9"),
    ((*CARD, "facts", "kind"), "vault", None),
    ((*CARD, "facts", "issuers"), ["circle", "lido"], None),
    ((*CARD, "facts", "oracle"), None, None),
    ((*CARD, "ratings", "market"), 9, 11),
    (("venues", 1, "card", "gates", "no_audit"), None, True),
    ((*RULES, "size_min"), None, "1"),
    ((*RULES, "supply_share_max"), None, "0.9"),
    ((*RULES, "liquidity_share_max"), None, "0.9"),
    ((*RULES, "utilisation_max"), None, "0.9"),
    ((*RULES, "rate_max"), "1.1", "0.9"),
    ((*RULES, "rate_age_max_s"), 3601, 3599),
    (("groups", 0, "cap"), "501", "499"),
    (("groups", 0, "share_max"), None, "0.5"),
    (("groups", 1, "share_max"), "0.51", "0.49"),
    (("groups", 1), GONE, None),
    (("liquidity", "quantile"), "0.98", "0.999"),
    (("liquidity", "ladder", 0, "share_min"), "0.1", "0.3"),
    (("liquidity", "ladder", 1), GONE, None),
    (("lockups", 0, "share_max"), "0.31", "0.29"),
    (("lockups", 1), GONE, None),
    (("stress", "freezes_s"), [], [432000, 864000]),
    (("stress", "freezes_s"), [432001], None),
    (("stress", "depegs", 0, "drop"), "0.09", "0.2"),
    (("stress", "depegs", 0, "loss_share_max"), "0.06", "0.04"),
    (("stress", "depegs"), [], None),
    (("rebalance", "horizon_s"), 2592001, 2591999),
    (("rebalance", "min_gain"), "9", "11"),
    (("rebalance", "ticket"), "99", "101"),
    (("rebalance", "cooldown_s"), None, 1),
    (("rebalance", "turnover_share_max"), "0.26", "0.24"),
    (("rebalance", "gas_max"), "51", "49"),
    (("rebalance", "slippage_max_bps"), 31, 29),
    (("spread_bps",), 1, None),
    (("guard",), {"utilisation_max": "0.96"}, {"utilisation_max": "0.94"}),
    (("guard",), {"cover_min": "0.9"}, {"cover_min": "1.5"}),
    (("guard",), {"rate_moved_max_bps": 2001}, {"rate_moved_max_bps": 1999}),
    (("guard",), {"jump_max_bps": 5001}, {"jump_max_bps": 4999}),
    (("guard",), {"rate_disagree_max_bps": 2501}, {"rate_disagree_max_bps": 2499}),
    (("guard",), {"share_price_max_bps": 101}, {"share_price_max_bps": 99}),
    (("guard",), {"depeg_max_bps": 201}, {"depeg_max_bps": 199}),
    (("guard",), {"block_age_max_s": 301}, {"block_age_max_s": 299}),
]
LOOSER = [(p, v) for p, v, _ in BOTH_WAYS if v is not None or p[-1] == "oracle"]
TIGHTER = [(p, v) for p, _, v in BOTH_WAYS if v is not None]


@pytest.mark.parametrize(("path", "value"), LOOSER)
def test_looser(path: Path, value: Any) -> None:
    new = parse(changed(path, value))
    assert loosened(OLD, new), changes(OLD, new)


@pytest.mark.parametrize(("path", "value"), TIGHTER)
def test_tighter(path: Path, value: Any) -> None:
    new = parse(changed(path, value))
    assert changes(OLD, new)
    assert loosened(OLD, new) == ()


def test_a_weight_moved_either_way_is_looser() -> None:
    weights = {**GOOD["scoring"]["weights_bps"], "market": 2001, "contract": 2999}
    new = parse(changed(("scoring", "weights_bps"), weights))
    assert {c.field for c in loosened(OLD, new)} == {
        "scoring.weights_bps.market", "scoring.weights_bps.contract"}  # fmt: skip


def _with(id_: str) -> dict[str, Any]:
    body = changed(("venues",), [*GOOD["venues"], venue(id_)])
    return changed(("tiers", 0, "venues"), ["aave-usdc", id_], body)


def test_a_venue_more_is_looser_and_one_less_is_not() -> None:
    more = parse(_with("new"))
    assert {c.field for c in loosened(OLD, more)} == {"venues.new.cap", "venues.new.share_max"}
    assert changes(more, OLD)
    assert loosened(more, OLD) == ()


def test_a_tier_more_is_looser() -> None:
    body = changed(("tiers",), [*GOOD["tiers"][:1], {
        "name": "staking", "share_max": "0.1", "venues": ["exchange-usdc"]}])  # fmt: skip
    fields = {c.field for c in loosened(OLD, parse(body))}
    assert fields == {"tiers.staking.share_max", "venues.exchange-usdc.tier"}


def test_from_schema_to_schema() -> None:
    """The second one only adds rules; going back drops them."""
    first = {**FIRST, "venues": [
        {k: v for k, v in x.items() if k in ("id", "cap", "share_max")} for x in GOOD["venues"]
    ], "tiers": GOOD["tiers"]}  # fmt: skip
    assert loosened(parse(first), OLD) == ()
    assert {"delay_s", "venues.aave-usdc.rules.rate_max"} <= {
        c.field for c in loosened(OLD, parse(first))
    }


def test_the_same_changes_nothing() -> None:
    assert changes(OLD, parse(GOOD)) == ()


def test_a_bound_of_the_guard_written_out_is_the_one_left_out() -> None:
    defaults = {
        "utilisation_max": "0.95", "cover_min": "1", "rate_moved_max_bps": 2000,
        "jump_max_bps": 5000, "rate_disagree_max_bps": 2500, "share_price_max_bps": 100,
        "depeg_max_bps": 200, "block_age_max_s": 300,
    }  # fmt: skip
    whole = parse(changed(("guard",), defaults))
    assert set(defaults) == set(FIELDS)
    assert whole.guard == OLD.guard == GuardRule()
    assert changes(OLD, whole) == changes(whole, OLD) == ()
    assert OLD.hash == hash_of(GOOD) != whole.hash
    tight = parse(changed(("guard",), {**defaults, "cover_min": "2"}))
    assert [c.field for c in loosened(tight, OLD)] == ["guard.cover_min"]
    assert loosened(OLD, tight) == ()


@st.composite
def tweaked(draw: st.DrawFn, market: Market) -> RiskTerms:
    """Some of the terms otherwise, up or down, or gone."""
    old = market.policy.terms
    assert old is not None
    share = draw(SHARES)
    options: list[dict[str, Any]] = [
        {"groups": (*old.groups, GroupRule(By.KIND, "lending", None, share))},
        {"groups": old.groups[1:]},
        {"groups": (replace(old.groups[0], share_max_wad=share), *old.groups[1:])},
        {"ladder": old.ladder[:1]},
        {"ladder": (replace(old.ladder[0], share_min_wad=share), *old.ladder[1:])},
        {"ladder": (Rung(60, share), *old.ladder)},
        {"lock_ups": (*old.lock_ups, LockUp(10**6, share))},
        {"lock_ups": (replace(old.lock_ups[0], share_max_wad=share),)},
        {"freezes_s": (*old.freezes_s, 10**6)},
        {"freezes_s": ()},
        {"depegs": (replace(old.depegs[0], drop_wad=max(share, 1)),)},
        {"depegs": (replace(old.depegs[0], loss_share_max_wad=share),)},
        {"entry": {k: replace(v, supply_share_wad=share) for k, v in old.entry.items()}},
        {"entry": {k: replace(v, liquidity_share_wad=share) for k, v in old.entry.items()}},
        {"entry": {k: replace(v, utilisation_max_wad=share) for k, v in old.entry.items()}},
    ]
    found = old
    for change in draw(st.lists(st.sampled_from(options), min_size=1, max_size=2)):
        found = replace(found, **change)
    return found


def _implied(old: Bound, new: tuple[Bound, ...], most: int) -> bool:
    """The old limit never binds, or a new one on as many venues is as low."""
    return old.amount >= most or any(old.venues <= b.venues and b.amount <= old.amount for b in new)


@settings(max_examples=150, deadline=None)
@given(markets(venues_max=3), st.data())
def test_without_a_loosening_the_old_limits_all_hold(market: Market, data: st.DataObject) -> None:
    terms = data.draw(tweaked(market))
    limits = market.policy.limits
    some = {i: VenueLimit(v.amount_max // 2, v.share_max_wad) for i, v in limits.venues.items()}
    policy = replace(market.policy, terms=terms, limits=replace(limits, venues=some))
    assume(not loosened(market.policy, policy))
    problem = replace(market.problem, limits=policy.limits)
    before, after = market.limited, replace(market, policy=policy, problem=problem).limited
    most = before.idle + sum(v.position for v in before.venues)
    milder = bounds(after)
    assert all(_implied(b, milder, most) for b in bounds(before) if b.venues)
    for one, other in zip(before.venues, after.venues, strict=True):
        assert not one.refusal or other.refusal

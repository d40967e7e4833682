"""Property 56, the deciding part: what speaks against an entry, one row a case."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.evm.contracts.treasury_guard import Bucket, GuardGroup, GuardVenue, VenueKind
from chains.types import BlockRef
from custody.core.money import AssetId
from custody.core.prices import Price, PriceFault, ReferencePrice, agree
from custody.policy.reference import BOUND
from router.curves import RAY
from router.guard import (
    Entry,
    Planned,
    jumped,
    objections,
    room_down,
    utilisation_after_wad,
)
from router.guard_limits import (
    GuardBook,
    PayeeBook,
    entry_objections,
    release_objections,
)
from router.lending_curves import Kinked
from router.objections import Code, Objection, codes_of
from router.price_watch import Peg, PriceLook
from router.risk.guard_rule import GuardRule
from router.stated_curves import FixedPot, Flat
from router.tiers import WAD
from router.venues.port import VenueState

pytestmark = pytest.mark.unit

PERCENT = RAY // 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
USDC = AssetId("eip155:1/erc20:0x" + "a" * 40)
STETH = AssetId("eip155:1/erc20:0x" + "b" * 40)
RULE = GuardRule()


def state(**changes: Any) -> VenueState:
    return replace(
        VenueState(
            curve=Flat(5 * PERCENT), position=1_000, capacity=None, withdrawable=1_000,
            exit_terms="instant", refusal="", as_of=BlockRef(100, "0x00", NOW_S),
        ),
        **changes,
    )  # fmt: skip


def kinked(debt: int, supply: int = 1_000_000) -> Kinked:
    return Kinked(supply, debt, 0, 4 * PERCENT, 60 * PERCENT, 90 * PERCENT, 1_000)


def quote(value: int, source: str = "a", ago_s: int = 0, asset: AssetId = USDC) -> Price:
    """`value` millionths of a dollar for one token of six decimals."""
    return Price(asset, "USD", value, 12, source, NOW - timedelta(seconds=ago_s), None)


def look(a: Price | None, b: Price | None, peg: int | None = 10**6, **more: Any) -> PriceLook:
    quotes = tuple(q for q in (a, b) if q is not None)
    agreed = agree(a, b, now=NOW, bound=BOUND)
    return PriceLook(USDC, Peg(6, peg), agreed, **{"quotes": quotes, **more})


def entry(of: VenueState | None = None, **changes: Any) -> Entry:
    base = Entry(
        amount=100, now_s=NOW_S, state=of or state(), shares=100,
        planned=Planned(Flat(5 * PERCENT), 1_100, 100), last=Flat(5 * PERCENT),
    )  # fmt: skip
    return replace(base, **changes)


CALM = look(quote(1_000_000), quote(1_000_500, "b"))
CASES: list[tuple[str, Entry, str]] = [
    ("calm", entry(prices=(CALM,)), ""),
    ("a book's bar", entry(barred=(Objection(Code.FLAGGED, "x"),)), "flagged"),
    ("old block", entry(now_s=NOW_S + 301), "stale-block"),
    ("block of the future", entry(now_s=NOW_S - 900), ""),
    ("refused", entry(state(refusal="frozen")), "refused-by-venue"),
    ("no room", entry(state(capacity=99)), "capacity"),
    ("just room", entry(state(capacity=100)), ""),
    ("own money stuck", entry(state(withdrawable=999)), "thin-liquidity"),
    ("shared liquidity short", entry(state(liquidity=1_099)), "thin-liquidity"),
    ("shared liquidity enough", entry(state(liquidity=1_100, withdrawable=0)), ""),
    ("rate a fifth lower", entry(state(curve=Flat(4 * PERCENT))), ""),
    ("lower than that", entry(state(curve=Flat(4 * PERCENT - 1))), "rate-moved"),
    ("half", entry(state(curve=Flat(25 * PERCENT // 10))), "rate-moved,rate-jump"),
    ("half as much again", entry(state(curve=Flat(75 * PERCENT // 10))), "rate-jump"),
    ("a little less than that", entry(state(curve=Flat(75 * PERCENT // 10 - 1))), ""),
    ("zero", entry(state(curve=Flat(0))), "earns-nothing,rate-moved,rate-jump"),
    ("from zero", entry(planned=None, last=Flat(0)), "rate-jump"),
    ("against the last read alone", entry(last=Flat(1 * PERCENT)), "rate-jump"),
    ("never read, not planned", entry(planned=None, last=None), ""),
    ("shares cheaper by 2 %", entry(shares=102), "share-price-jump"),
    ("shares dearer by 2 %", entry(shares=98), "share-price-jump"),
    ("shares by 1 %", entry(shares=101), ""),
    ("no shares now", entry(shares=0), "share-price-jump"),
    ("an exchange has none", entry(shares=0, planned=Planned(Flat(5 * PERCENT), 1, 0)), ""),
    ("states the same", entry(state(facts={"rate_ray": str(5 * PERCENT)})), ""),
    ("states half", entry(state(facts={"rate_ray": str(25 * PERCENT // 10)})), "rate-disagrees"),
    ("states nothing", entry(state(facts={"rate_ray": "0"})), "rate-disagrees"),
    ("price missing", entry(prices=(look(quote(10**6), None),)), "price-unknown"),
    ("price stale", entry(prices=(look(quote(10**6, ago_s=301), quote(10**6, "b")),)),
     "price-unknown"),
    ("prices differ", entry(prices=(look(quote(10**6), quote(1_021_000, "b")),)),
     "price-unknown"),
    ("one source twice", entry(prices=(look(quote(10**6), quote(10**6)),)), "price-unknown"),
    ("depeg down", entry(prices=(look(quote(979_000), quote(979_500, "b")),)), "depeg"),
    ("depeg up", entry(prices=(look(quote(1_021_000), quote(1_020_500, "b")),)), "depeg"),
    ("one side off its peg", entry(prices=(look(quote(979_000), quote(985_000, "b")),)), "depeg"),
    ("at the bound", entry(prices=(look(quote(980_000), quote(980_000, "b")),)), ""),
    ("floating", entry(prices=(look(quote(700_000), quote(700_000, "b"), None),)), ""),
    ("floating, halved", entry(prices=(
        look(quote(10**6), quote(10**6, "b"), None,
             quotes=(quote(2 * 10**6, ago_s=60), quote(10**6))),)), "price-jump"),
    ("floating, up by half", entry(prices=(
        look(quote(10**6), quote(10**6, "b"), None,
             quotes=(quote(666_666, ago_s=60), quote(10**6))),)), "price-jump"),
    ("two sources are no jump", entry(prices=(
        look(quote(10**6), quote(10**6, "b"), None,
             quotes=(quote(2 * 10**6, "c", ago_s=60), quote(10**6))),)), ""),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "codes"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_entry(given_: Entry, codes: str) -> None:
    assert codes_of(objections(given_, RULE)) == codes


def receipt(value: int, base: ReferencePrice | PriceFault) -> PriceLook:
    prices = (quote(value, asset=STETH), quote(value, "b", asset=STETH))
    agreed = agree(*prices, now=NOW, bound=BOUND)
    return PriceLook(STETH, Peg(6, None), agreed, prices, (base, 6))


@pytest.mark.parametrize(("value", "codes"), [(980_000, ""), (979_999, "depeg"), (1_200_000, "")])
def test_receipt_is_held_against_what_it_stands_for(value: int, codes: str) -> None:
    base = agree(quote(10**6), quote(10**6, "b"), now=NOW, bound=BOUND)
    assert codes_of(objections(entry(prices=(receipt(value, base),)), RULE)) == codes


def test_receipt_of_something_without_a_price() -> None:
    found = objections(entry(prices=(receipt(10**6, PriceFault.STALE),)), RULE)
    assert codes_of(found) == "price-unknown"


@pytest.mark.parametrize(("debt", "codes"), [(960_000, ""), (960_001, "utilisation")])
def test_utilisation_is_that_after_the_entry(debt: int, codes: str) -> None:
    curve = kinked(debt, 1_010_527 - 1_100)
    of = state(curve=curve, liquidity=10**9)
    found = objections(entry(of, planned=None, last=None), RULE)
    assert codes_of(found) == codes


def test_utilisation_of_a_venue_that_states_it() -> None:
    of = state(supply=900, utilisation_wad=WAD)
    assert utilisation_after_wad(of, 100) == WAD * 9 // 10
    assert utilisation_after_wad(state(), 100) is None


@given(supply=st.integers(1, 10**15), debt_bps=st.integers(0, 9_999), own=st.integers(0, 10**14))
def test_our_own_position_is_never_a_jump(supply: int, debt_bps: int, own: int) -> None:
    """Curves exclude us: the same market before and after our entry is the same curve."""
    curve = kinked(supply * debt_bps // 10_000, supply)
    assert not jumped(curve, curve, own + 1, RULE.jump_bps)
    pot = FixedPot(supply * RAY, supply)
    assert not jumped(pot, pot, own + 1, RULE.jump_bps)


@given(old=st.integers(1, 10**30), new=st.integers(0, 10**30))
def test_jump_is_half_or_half_as_much_again(old: int, new: int) -> None:
    assert jumped(Flat(old), Flat(new), 1, 5_000) == (2 * new <= old or 2 * new >= 3 * old)


V1, V2 = "0x" + "01" * 32, "0x" + "02" * 32
ME = "0x" + "a" * 40


def venue(cap: int = 1_000, share_bps: int = 6_000, booked: int = 100) -> GuardVenue:
    return GuardVenue(VenueKind.AAVE_V3, ME, ME, cap, share_bps, 10**6, booked, 0)


def book(**changes: Any) -> GuardBook:
    base = GuardBook(
        False, ME, 900, 50, {V1: venue(), V2: venue()},
        (GuardGroup(frozenset({V1, V2}), 1_000, 9_000), GuardGroup(frozenset(), 0, 0)),
        10**6, 100,
    )  # fmt: skip
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("of", "amount", "codes"),
    [
        (book(), 500, ""),
        (book(paused=True), 500, "guard-paused"),
        (book(allocator=V1), 500, "guard-allocator"),
        (book(venues={}), 500, "guard-unlisted"),
        (book(idle_min=400), 500, ""),
        (book(idle_min=401), 500, "guard-idle"),
        (book(flow_left=499), 500, "guard-flow"),
        (book(venues={V1: venue(cap=600), V2: venue()}), 500, ""),
        (book(venues={V1: venue(cap=599), V2: venue()}), 500, "guard-cap"),
        # 600 of 1,100 are 54.5 %.
        (book(venues={V1: venue(share_bps=5_454), V2: venue()}), 500, "guard-share"),
        (book(venues={V1: venue(share_bps=5_455), V2: venue()}), 500, ""),
        (book(groups=(GuardGroup(frozenset({V1, V2}), 699, 9_000),)), 500, "guard-group"),
        (book(groups=(GuardGroup(frozenset({V1, V2}), 700, 9_000),)), 500, ""),
        (book(groups=(GuardGroup(frozenset({V1, V2}), 700, 6_363),)), 500, "guard-group"),
        (book(groups=(GuardGroup(frozenset({V2}), 0, 0),)), 500, ""),
        # What has been earned counts for the venue, and in the whole.
        (book(worth=150, venues={V1: venue(cap=649), V2: venue()}), 500, "guard-cap"),
        (book(worth=0), 500, ""),
    ],
)
def test_guards_own_limits(of: GuardBook, amount: int, codes: str) -> None:
    assert codes_of(entry_objections(of, V1, amount, ME)) == codes


@pytest.mark.parametrize(
    ("of", "codes"),
    [
        (PayeeBook(False, ME, 500, Bucket(9, 500), Bucket(9, 500)), ""),
        (PayeeBook(True, ME, 499, Bucket(9, 500), Bucket(9, 500)), "guard-paused,guard-idle"),
        (PayeeBook(False, ME, 500, Bucket(9, 499), Bucket(9, 500)), "guard-payee"),
        (PayeeBook(False, V1, 500, Bucket(9, 500), Bucket(9, 499)), "guard-allocator,guard-payee"),
    ],
)
def test_guards_payee_limits(of: PayeeBook, codes: str) -> None:
    assert codes_of(release_objections(of, 500, ME)) == codes


@pytest.mark.parametrize(
    ("changes", "room"),
    [
        ({"liquidity": 10_000}, 8_900),
        ({"liquidity": 1_000}, 0),
        ({"liquidity": 0}, 0),
        ({"withdrawable": 1_000}, None),
        ({"withdrawable": 999}, 0),
        ({"withdrawable": 0, "position": 0}, None),
    ],
)
def test_what_a_plan_may_bring(changes: dict[str, Any], room: int | None) -> None:
    assert room_down(state(**changes), RULE) == room


@pytest.mark.parametrize(
    ("changes", "case", "codes"),
    [
        ({"cover_wad": 2 * WAD}, entry(state(liquidity=2_199)), "thin-liquidity"),
        ({"cover_wad": 2 * WAD}, entry(state(liquidity=2_200)), ""),
        ({"cover_wad": WAD // 2}, entry(state(liquidity=550)), ""),
        ({"moved_max_bps": 0}, entry(state(curve=Flat(5 * PERCENT - 1))), "rate-moved"),
        ({"moved_max_bps": 4_000}, entry(state(curve=Flat(3 * PERCENT))), ""),
        ({"jump_bps": 1_000}, entry(state(curve=Flat(55 * PERCENT // 10))), "rate-jump"),
        ({"share_price_max_bps": 99}, entry(shares=101), "share-price-jump"),
        ({"age_max_s": 10}, entry(now_s=NOW_S + 11), "stale-block"),
        (
            {"disagree_max_bps": 100},
            entry(state(facts={"rate_ray": str(49 * PERCENT // 10)})),
            "rate-disagrees",
        ),
        ({"depeg_max_bps": 4}, entry(prices=(CALM,)), "depeg"),
        (
            {"depeg_max_bps": 300},
            entry(prices=(look(quote(979_000), quote(979_500, "b")),)),
            "",
        ),
        (
            {"utilisation_max_wad": WAD // 2},
            entry(state(supply=900, utilisation_wad=WAD)),
            "utilisation",
        ),
    ],
)
def test_bounds_are_the_policys(changes: dict[str, int], case: Entry, codes: str) -> None:
    assert codes_of(objections(case, replace(RULE, **changes))) == codes


def test_without_cover_a_plan_may_bring_anything() -> None:
    assert room_down(state(liquidity=0), replace(RULE, cover_wad=0)) is None


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 4 * WAD))
def test_what_a_plan_may_bring_is_never_too_thin(liquidity: int, position: int, k: int) -> None:
    rule = replace(RULE, cover_wad=k)
    venue = state(liquidity=liquidity, position=position)
    room = room_down(venue, rule)
    assert room is not None
    found = objections(entry(venue, amount=room, planned=None, last=None), rule)
    assert room == 0 or Code.THIN not in {o.code for o in found}

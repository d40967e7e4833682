"""What the planner decides, and what it says of it. Figures of one market throughout."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.types import FeeQuote
from custody.core.ids import TenantId, new_uuid7
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.core.prices import Price, ReferencePrice
from custody.deposits.sweeping import plan
from custody.deposits.sweeping.candidates import Candidate, Standing
from custody.deposits.sweeping.gas import CANCUN, OSAKA, PRAGUE
from custody.deposits.sweeping.plan import Choice, Market, Reason
from custody.deposits.sweeping.rules import SweepRules
from custody.deposits.sweeping.strategies import FUNDED, HUB, NATIVE, SINGLE, Picked, Site
from custody.parties.places import Place

pytestmark = pytest.mark.unit

CHAIN = 31337
GWEI = 10**9
ETHER, COIN = 10**18, 10**6
TENANT = TenantId(new_uuid7())


def address(number: int) -> str:
    return "0x" + f"{number:040d}"


TREASURY, GAS, SWEEPER, HUB_AT = (address(n) for n in range(1, 5))
USDC, ETH = erc20_asset(CHAIN, address(9)), native_asset(CHAIN)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def price(asset: AssetId, low: int, high: int, scale: int) -> ReferencePrice:
    one = Price(asset, "USD", high, scale, "oracle", NOW, 1)
    return ReferencePrice(one, Price(asset, "USD", low, scale, "ticker", NOW, None))


DOLLAR = price(USDC, 10**3, 10**3, 9)
"""A base unit of USDC is a millionth of a dollar."""
COIN_PRICE = price(ETH, 2_000, 2_500, 18)
"""An ether is 2,000 dollars by one source and 2,500 by the other."""
MARKET = Market(FeeQuote(21 * GWEI, GWEI), 10 * GWEI, COIN_PRICE)
PRICES: dict[str, ReferencePrice] = {USDC: DOLLAR, ETH: COIN_PRICE}


def site(**changes: Any) -> Site:
    rules = SweepRules(**{"batch_min": 3, **changes.pop("rules", {})})
    fields: dict[str, Any] = {
        "tenant_id": TENANT,
        "chain_id": CHAIN,
        "treasury": TREASURY,
        "gas": Place(TENANT, CHAIN, "gas", GAS, "2/2"),
        "sweeper": SWEEPER,
        "hub": HUB_AT,
        "rules": rules,
        "may": lambda kind, asset: True,
    }
    return Site(**{**fields, **changes})


def token(amount: int, *, used: bool = False, path: str = "1/7", **changes: Any) -> Picked:
    fields: dict[str, Any] = {
        "tenant_id": TENANT, "chain_id": CHAIN, "address": address(100 + int(path[2:])),
        "path": path, "asset_id": USDC, "amount": amount,
    }  # fmt: skip
    there = Standing(amount, 0, SWEEPER if used else None, 0)
    return Picked(Candidate(**{**fields, **changes}), there)


def coin(amount: int) -> Picked:
    c = Candidate(TENANT, CHAIN, address(50), "0/7", ETH, amount)
    return Picked(c, Standing(amount, amount, None, 0))


def decide(p: Picked, at: Site | None = None, prices: Any = PRICES) -> Choice:
    (made,) = plan.choose(at or site(), [p], MARKET, prices)
    return made


def test_an_address_never_used_is_delegated_once_it_is_worth_it() -> None:
    """74,000 gas at 10 gwei are 740,000 gwei, at 2,500 dollars an ether 1.85; three times that."""
    bound = 5_550_000
    made = decide(token(bound))
    assert (made.strategy, made.reason, made.sweep) == (SINGLE, Reason.WORTH, True)
    assert made.cost_wei == (PRAGUE.single + PRAGUE.delegation) * 10 * GWEI
    assert made.value_wei == 3 * made.cost_wei
    below = decide(token(bound - 1))
    assert (below.strategy, below.reason, below.sweep) == (SINGLE, Reason.NOT_WORTH, False)


def test_the_life_that_is_expected_decides() -> None:
    """Once and never again, a transfer of its own is cheaper than to delegate."""
    assert decide(token(100 * COIN), site(rules={"further_sweeps": 0})).strategy is FUNDED
    assert decide(token(100 * COIN), site(rules={"further_sweeps": 3})).strategy is SINGLE
    later = decide(token(100 * COIN, used=True), site(rules={"further_sweeps": 0}))
    assert later.strategy is SINGLE


@pytest.mark.parametrize(
    ("at", "p", "expected"),
    [
        (site(rules={"table": CANCUN}), token(100 * COIN), FUNDED),
        (site(), token(100 * COIN, path="0/7"), FUNDED),
        (site(sweeper=None), token(100 * COIN), FUNDED),
        (site(may=lambda kind, asset: kind == "sweep_token"), token(100 * COIN), SINGLE),
        (site(may=lambda kind, asset: False), token(100 * COIN), None),
        (site(), coin(ETHER), NATIVE),
    ],
    ids=["no 7702", "coin's branch", "no sweeper", "policy", "no way", "coin"],
)
def test_where_each_strategy_fits(at: Site, p: Picked, expected: Any) -> None:
    made = decide(p, at)
    assert made.strategy is expected
    if expected is None:
        assert made.reason is Reason.NO_STRATEGY


def test_enough_that_are_worth_it_make_a_batch() -> None:
    """Those that are not do not count; what went wrong before is tried alone."""
    good = [token(100 * COIN, path=f"1/{i}") for i in range(3)]
    poor = [token(10, path=f"1/{i}") for i in range(5, 9)]
    bad = token(100 * COIN, path="1/20", faults=1)
    made = plan.choose(site(), [*good[:2], *poor], MARKET, PRICES)
    assert [c.strategy for c in made[:2]] == [SINGLE, SINGLE]
    made = plan.choose(site(), [*good, *poor, bad], MARKET, PRICES)
    assert [c.strategy for c in made[:3]] == [HUB] * 3
    assert made[-1].strategy is SINGLE
    assert [len(b) for b in plan.batches(site(), made)] == [1, 3]
    assert plan.choose(site(hub=None), good, MARKET, PRICES)[0].strategy is SINGLE


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 450), st.integers(1, 200), st.sampled_from([PRAGUE, OSAKA]))
def test_every_address_is_in_one_batch_that_fits(count: int, most: int, table: Any) -> None:
    at = site(rules={"batch_max": most, "table": table})
    picked = [token(100 * COIN, path=f"1/{i}") for i in range(count)]
    batches = plan.batches(at, plan.choose(at, picked, MARKET, PRICES))
    assert sorted(c.picked.candidate.path for b in batches for c in b) == sorted(
        p.candidate.path for p in picked
    )
    for batch in batches:
        assert len(batch) <= most
        if table.transaction_max is not None and batch[0].strategy is HUB:
            assert table.hub_limit(len(batch), len(batch)) <= table.transaction_max


@pytest.mark.parametrize(
    ("p", "rules", "prices", "expected"),
    [
        (token(1), {}, PRICES, Reason.DUST),
        (replace(token(9 * COIN), standing=Standing(0, 0, None, 0)), {}, PRICES,
         Reason.NOTHING_THERE),
        (replace(token(9 * COIN), standing=Standing(1, 0, None, 0)), {}, PRICES, Reason.DUST),
        (token(9 * COIN), {}, {}, Reason.NO_PRICE),
        (token(9 * COIN), {}, {USDC: replace(DOLLAR, higher=replace(DOLLAR.higher, currency="EUR"),
                                             lower=replace(DOLLAR.lower, currency="EUR"))},
         Reason.NO_PRICE),
        (token(9 * COIN), {"amount_min": {USDC: 9 * COIN}}, {}, Reason.FLOOR),
        (token(9 * COIN), {"amount_min": {USDC: 9 * COIN + 1}}, {}, Reason.BELOW_FLOOR),
        (token(9 * COIN), {"amount_min": {USDC: 9 * COIN + 1}}, PRICES, Reason.BELOW_FLOOR),
        (token(9 * COIN), {"amount_min": {USDC: 1}, "worth_multiple": 9}, PRICES,
         Reason.NOT_WORTH),
    ],
)  # fmt: skip
def test_why_not(p: Picked, rules: dict[str, Any], prices: Any, expected: Reason) -> None:
    made = decide(p, site(rules=rules), prices)
    assert made.reason is expected
    assert made.sweep is (expected is Reason.FLOOR)


def test_a_coin_needs_no_price_and_pays_for_itself() -> None:
    """Its gas is paid at the price that is offered, not at the forecast."""
    fee = 21_000 * 21 * GWEI
    assert decide(coin(3 * fee), prices={}).reason is Reason.WORTH
    assert decide(coin(3 * fee - 1), prices={}).reason is Reason.NOT_WORTH
    assert decide(coin(fee), site(rules={"worth_multiple": 0})).reason is Reason.NOT_WORTH


@given(st.integers(0, 2**100), st.integers(1, 10**9), st.integers(1, 10**9))
def test_what_is_swept_is_worth_the_multiple(amount: int, low: int, more: int) -> None:
    """By exact numbers: the lower price of the token against the higher one of the coin."""
    prices = {**PRICES, USDC: price(USDC, low, low + more, 9)}
    made = decide(token(amount), prices=prices)
    if made.sweep:
        # amount * low / 10^9 dollars >= 3 * cost * 2,500 / 10^18 dollars
        assert amount * low * 10**18 >= 3 * made.cost_wei * 2_500 * 10**9


def test_the_forecast_is_the_dearest_next_block() -> None:
    assert plan.market(FeeQuote(17, 1), 8, None).forecast == 10
    assert plan.market(FeeQuote(19, 1), 9, None).forecast == 12

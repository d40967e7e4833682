"""Scenarios of an Aave reserve, on the real market. Kind: integration."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from chains.devnet import outside
from chains.devnet.anvil import REPO
from chains.devnet.rpc import DevnetError, call, call_uint, instant_mining, send
from chains.devnet.scenario import aave, prices
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain, start_chain

pytestmark = pytest.mark.chain

USDC = 10**6
ETHER = 10**18
DAY_S = 24 * 3600


def named(error: str) -> str:
    """How the node prints a custom error without arguments."""
    return keccak(text=f"{error}()")[:4].hex()


def reserve_data(chain: DevnetChain, symbol: str) -> tuple[Any, ...]:
    """Rates in ray are at 5 (suppliers') and 6 (borrowers')."""
    return call(
        chain.anvil.rpc_url,
        chain.world.aave.data_provider,
        "getReserveData(address)",
        chain.world.aave.reserves[symbol].asset,
        returns="(" + ",".join(["uint256"] * 12) + ")",
    )


def account(chain: DevnetChain, who: str) -> tuple[Any, ...]:
    """Pledged, owed and still to be borrowed in USD (8 decimals), ..., health factor (wad)."""
    types, pool = "(" + ",".join(["uint256"] * 6) + ")", chain.world.aave.pool
    return call(chain.anvil.rpc_url, pool, "getUserAccountData(address)", who, returns=types)


def supply(chain: DevnetChain, symbol: str, amount: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    asset, whale = world.aave.reserves[symbol].asset, world.accounts.whale
    send(url, whale, asset, "approve(address,uint256)", world.aave.pool, amount)
    signature = "supply(address,uint256,address,uint16)"
    send(url, whale, world.aave.pool, signature, asset, amount, whale, 0)


def withdraw(chain: DevnetChain, symbol: str, amount: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    asset, whale = world.aave.reserves[symbol].asset, world.accounts.whale
    send(url, whale, world.aave.pool, "withdraw(address,uint256,address)", asset, amount, whale)


def borrow(chain: DevnetChain, symbol: str, amount: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    asset, who = world.aave.reserves[symbol].asset, world.accounts.borrower
    signature = "borrow(address,uint256,uint256,uint16,address)"
    send(url, who, world.aave.pool, signature, asset, amount, 2, 0, who)


@pytest.mark.parametrize("symbol", ["USDC", "TDAI", "WETH", "TBTC"])
def test_utilisation_goes_where_it_is_told_and_the_rate_follows(
    chain: DevnetChain, symbol: str
) -> None:
    url, world, rates = chain.anvil.rpc_url, chain.world, []
    for bps in (1_000, 8_000, 9_999, 4_321):
        aave.borrow_to_utilisation(url, world, symbol, bps)
        debt = call_uint(url, world.aave.reserves[symbol].debt_token, "totalSupply()")
        held = outside.erc20_balance(
            url, world.aave.reserves[symbol].asset, world.aave.reserves[symbol].a_token
        )
        assert abs(debt * 10_000 // (debt + held) - bps) <= 1
        rates.append(reserve_data(chain, symbol)[6])
    assert rates[0] < rates[3] < rates[1] < rates[2]
    assert rates[2] > 5 * rates[1], "beyond the kink it is steep"


def test_utilisation_is_exact_after_a_year_without_a_touch(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    warp(url, 365 * DAY_S)
    aave.borrow_to_utilisation(url, world, "USDC", 5_000)
    now = aave.usage(url, world, "USDC")
    assert abs(now.debt * 2 - now.total) * 10_000 <= now.total


@pytest.mark.parametrize("bps", [-1, 10_001])
def test_a_utilisation_is_a_share(chain: DevnetChain, bps: int) -> None:
    with pytest.raises(DevnetError, match="a utilisation of"):
        aave.borrow_to_utilisation(chain.anvil.rpc_url, chain.world, "USDC", bps)


def test_a_utilisation_that_others_owe_is_not_reached_in_part(chain: DevnetChain) -> None:
    """The exchange's debt is not the borrower's to repay."""
    url, world = chain.anvil.rpc_url, chain.world
    other, asset = world.accounts.exchange_hot, world.aave.reserves["USDC"].asset
    outside.send_token(url, world, "WETH", other, 1_000 * ETHER)
    weth = world.aave.reserves["WETH"].asset
    send(url, other, weth, "approve(address,uint256)", world.aave.pool, 1_000 * ETHER)
    signature = "supply(address,uint256,address,uint16)"
    send(url, other, world.aave.pool, signature, weth, 1_000 * ETHER, other, 0)
    signature = "borrow(address,uint256,uint256,uint16,address)"
    send(url, other, world.aave.pool, signature, asset, 1_000_000 * USDC, 2, 0, other)
    before = aave.usage(url, world, "USDC").debt
    with pytest.raises(DevnetError, match="were to be repaid"):
        aave.borrow_to_utilisation(url, world, "USDC", 500)
    assert aave.usage(url, world, "USDC").debt >= before


def test_a_loan_over_what_the_debtor_has_pledged_brings_its_collateral(chain: DevnetChain) -> None:
    """Even when the price of what it has pledged has crashed."""
    url, world = chain.anvil.rpc_url, chain.world
    prices.move_price(url, world, "WETH", 4_000)
    aave.borrow_to_utilisation(url, world, "USDC", 9_900)
    assert account(chain, world.accounts.borrower)[5] > ETHER


def test_a_loan_that_the_protocol_refuses_is_an_error(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    aave.set_borrow_cap(url, world, "USDC", 7_100_000 * USDC)
    with pytest.raises(DevnetError, match=named("BorrowCapExceeded")):
        aave.borrow_to_utilisation(url, world, "USDC", 9_900)


def test_a_paused_reserve_takes_nothing_and_gives_nothing(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    aave.set_paused(url, world, "USDC", True)
    for act in (supply, withdraw, borrow):
        with pytest.raises(DevnetError, match=named("ReservePaused")):
            act(chain, "USDC", USDC)
    supply(chain, "TDAI", ETHER)
    aave.set_paused(url, world, "USDC", False)
    for act in (supply, withdraw, borrow):
        act(chain, "USDC", USDC)


def test_a_frozen_reserve_may_only_be_left(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    aave.set_frozen(url, world, "USDC", True)
    for act in (supply, borrow):
        with pytest.raises(DevnetError, match=named("ReserveFrozen")):
            act(chain, "USDC", USDC)
    withdraw(chain, "USDC", USDC)
    aave.set_frozen(url, world, "USDC", False)
    for act in (supply, borrow):
        act(chain, "USDC", USDC)


def test_a_supply_cap_is_the_protocols_own(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    supplied = call_uint(url, world.aave.reserves["USDC"].a_token, "totalSupply()")
    aave.set_supply_cap(url, world, "USDC", (supplied // USDC + 1_000) * USDC)
    supply(chain, "USDC", 500 * USDC)
    with pytest.raises(DevnetError, match=named("SupplyCapExceeded")):
        supply(chain, "USDC", 600 * USDC)
    aave.set_supply_cap(url, world, "USDC", None)
    supply(chain, "USDC", 600 * USDC)


def test_a_borrow_cap_is_the_protocols_own(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    owed = call_uint(url, world.aave.reserves["TDAI"].debt_token, "totalSupply()")
    aave.set_borrow_cap(url, world, "TDAI", (owed // ETHER + 1_000) * ETHER)
    borrow(chain, "TDAI", 500 * ETHER)
    with pytest.raises(DevnetError, match=named("BorrowCapExceeded")):
        borrow(chain, "TDAI", 600 * ETHER)
    aave.set_borrow_cap(url, world, "TDAI", None)
    borrow(chain, "TDAI", 600 * ETHER)


@pytest.mark.parametrize("cap", [0, -USDC, USDC + 1])
def test_a_cap_is_in_whole_tokens(chain: DevnetChain, cap: int) -> None:
    """Zero would be no cap at all."""
    for control in (aave.set_supply_cap, aave.set_borrow_cap):
        with pytest.raises(DevnetError, match="no whole tokens"):
            control(chain.anvil.rpc_url, chain.world, "USDC", cap)


def test_a_crash_reaches_the_market(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    asset = world.aave.reserves["WETH"].asset
    before = call_uint(url, world.aave.oracle, "getAssetPrice(address)", asset)
    assert prices.move_price(url, world, "WETH", 4_000) == before
    assert call_uint(url, world.aave.oracle, "getAssetPrice(address)", asset) == before * 4 // 10
    assert account(chain, world.accounts.borrower)[5] < ETHER, (
        "the borrower's collateral is WETH: it may be liquidated"
    )
    with pytest.raises(DevnetError, match="is no price"):
        prices.move_price(url, world, "WETH", 0)


@pytest.mark.parametrize(
    ("symbol", "loan"),
    [("USDC", 1_000_000 * USDC), ("TDAI", 1_000_000 * ETHER), ("USDC", 900 * USDC)],
)
def test_a_bad_debt_is_a_deficit_of_the_reserve(chain: DevnetChain, symbol: str, loan: int) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    collateral = "TBTC" if symbol == "TDAI" else "TDAI"
    old_price = prices.price(url, world, collateral)
    before = call_uint(url, world.aave.reserves[symbol].debt_token, "totalSupply()")
    lost = aave.bad_debt(url, world, symbol, loan)
    assert loan // 4 < lost < loan // 2
    asset = world.aave.reserves[symbol].asset
    assert call_uint(url, world.aave.pool, "getReserveDeficit(address)", asset) == lost
    assert prices.price(url, world, collateral) == old_price
    # The debt is gone from the books of the reserve; nobody owes it any more.
    after = call_uint(url, world.aave.reserves[symbol].debt_token, "totalSupply()")
    assert 0 <= after - before < loan // 1_000
    assert len(chain.anvil.rpc("eth_accounts")) == 10, "the stranger is gone"
    again = aave.bad_debt(url, world, symbol, loan)
    assert call_uint(url, world.aave.pool, "getReserveDeficit(address)", asset) == lost + again


def test_controls_work_while_blocks_come_by_themselves() -> None:
    """As in the demo: one a second, each control waits for its transactions."""
    anvil, world = start_chain(REPO / ".cache", 31337, block_time=1)
    with anvil:
        url = anvil.rpc_url
        aave.borrow_to_utilisation(url, world, "USDC", 8_500)
        assert aave.usage(url, world, "USDC").is_at(8_500)
        with instant_mining(url):
            assert aave.bad_debt(url, world, "USDC", 1_000 * USDC) > 0

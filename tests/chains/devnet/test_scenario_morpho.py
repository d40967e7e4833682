"""Scenarios of Morpho Blue and MetaMorpho, on the real contracts. Kind: integration."""

import pytest
from eth_utils.crypto import keccak

from chains.devnet.morpho import PARAMS
from chains.devnet.rpc import DevnetError, call, call_uint, send
from chains.devnet.scenario import morpho, prices
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

USDC = 10**6
DAY_S = 24 * 3600
MARKETS = ["WETH", "TBTC"]
TOTALS = "(uint128,uint128,uint128,uint128,uint128,uint128)"


def named(error: str) -> str:
    """How the node prints a custom error without arguments."""
    return keccak(text=f"{error}()")[:4].hex()


def totals(chain: DevnetChain, symbol: str) -> tuple[int, ...]:
    """Of the market: supplied assets and shares, borrowed assets and shares, ..."""
    blue, market = chain.world.morpho.blue, chain.world.morpho.markets[symbol]
    market_id = bytes.fromhex(market.id[2:])
    return call(chain.anvil.rpc_url, blue, "market(bytes32)", market_id, returns=TOTALS)


def supplied_by_vault(chain: DevnetChain, symbol: str) -> int:
    """Base units, rounded down."""
    url, held = chain.anvil.rpc_url, chain.world.morpho
    market_id = bytes.fromhex(held.markets[symbol].id[2:])
    position = call(
        *(url, held.blue, "position(bytes32,address)", market_id, held.vault),
        returns="(uint256,uint128,uint128)",
    )
    supplied, shares, *_ = totals(chain, symbol)
    return int(position[0]) * supplied // shares


def borrow_rate(chain: DevnetChain, symbol: str) -> int:
    """Per second, times 1e18."""
    market = chain.world.morpho.markets[symbol]
    signature = f"borrowRateView({PARAMS},{TOTALS})"
    return call_uint(
        chain.anvil.rpc_url, market.irm, signature, market.params, totals(chain, symbol)
    )


def deposit(chain: DevnetChain, amount: int) -> None:
    """The whale, into the vault."""
    url, vault, whale = chain.anvil.rpc_url, chain.world.morpho.vault, chain.world.accounts.whale
    usdc = chain.world.tokens["USDC"].address
    send(url, whale, usdc, "approve(address,uint256)", vault, amount)
    send(url, whale, vault, "deposit(uint256,address)", amount, whale)


@pytest.mark.parametrize("symbol", MARKETS)
def test_utilisation_goes_where_it_is_told_and_the_rate_follows(
    chain: DevnetChain, symbol: str
) -> None:
    url, world, rates = chain.anvil.rpc_url, chain.world, []
    for bps in (1_000, 9_000, 10_000, 4_321, 0):
        morpho.borrow_to_utilisation(url, world, symbol, bps)
        supplied, _, borrowed, *_ = totals(chain, symbol)
        assert abs(borrowed * 10_000 // supplied - bps) <= 1
        rates.append(borrow_rate(chain, symbol))
    assert rates[4] < rates[0] < rates[3] < rates[1] < rates[2]
    assert rates[2] > 3 * rates[1], "over the target it is steep"


def test_utilisation_is_exact_after_a_year_without_a_touch(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    warp(url, 365 * DAY_S)
    morpho.borrow_to_utilisation(url, world, "WETH", 5_000)
    supplied, _, borrowed, *_ = totals(chain, "WETH")
    assert abs(borrowed * 2 - supplied) * 10_000 <= supplied


def test_a_loan_over_what_the_debtor_has_pledged_brings_its_collateral(chain: DevnetChain) -> None:
    """Even when the price of what it has pledged has crashed."""
    url, world = chain.anvil.rpc_url, chain.world
    prices.move_price(url, world, "WETH", 3_000)
    morpho.borrow_to_utilisation(url, world, "WETH", 9_900)


def test_a_utilisation_that_others_owe_is_not_reached_in_part(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    market, blue = world.morpho.markets["WETH"], world.morpho.blue
    other, pledge = world.accounts.exchange_hot, 1_000 * 10**18
    send(url, other, market.collateral_token, "deposit()", value=pledge)
    send(url, other, market.collateral_token, "approve(address,uint256)", blue, pledge)
    signature = f"supplyCollateral({PARAMS},uint256,address,bytes)"
    send(url, other, blue, signature, market.params, pledge, other, b"")
    signature = f"borrow({PARAMS},uint256,uint256,address,address)"
    send(url, other, blue, signature, market.params, 500_000 * USDC, 0, other, other)
    before = totals(chain, "WETH")[2]
    with pytest.raises(DevnetError, match="were to be repaid"):
        morpho.borrow_to_utilisation(url, world, "WETH", 500)
    assert totals(chain, "WETH")[2] >= before


@pytest.mark.parametrize("bps", [-1, 10_001])
def test_a_utilisation_is_a_share(chain: DevnetChain, bps: int) -> None:
    with pytest.raises(DevnetError, match="a utilisation of"):
        morpho.borrow_to_utilisation(chain.anvil.rpc_url, chain.world, "WETH", bps)


@pytest.mark.parametrize("symbol", MARKETS)
def test_a_bad_debt_lowers_the_share_price_of_the_vault(chain: DevnetChain, symbol: str) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    price = prices.price(url, world, symbol)
    before = call_uint(url, world.morpho.vault, "totalAssets()")
    share = call_uint(url, world.morpho.vault, "convertToAssets(uint256)", 10**18)
    loan = 500_000 * USDC
    lost = morpho.bad_debt(url, world, symbol, loan)
    assert loan // 3 < lost < loan // 2
    after = call_uint(url, world.morpho.vault, "totalAssets()")
    assert abs(before - after - lost) < 100 * USDC, "the vault is the only supplier, but for fees"
    assert call_uint(url, world.morpho.vault, "convertToAssets(uint256)", 10**18) < share
    assert prices.price(url, world, symbol) == price
    assert morpho.bad_debt(url, world, symbol, 1_000 * USDC) > 300 * USDC


def test_a_loan_that_no_one_can_give_is_no_bad_debt(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    with pytest.raises(DevnetError, match="insufficient liquidity"):
        morpho.bad_debt(url, world, "WETH", 10_000_000 * USDC)


def test_a_vault_cap_turns_deposits_to_the_next_market_and_then_away(chain: DevnetChain) -> None:
    """The supply queue is WETH, then TBTC. Some days of interest come to less than 10,000."""
    url, world = chain.anvil.rpc_url, chain.world
    in_weth, in_tbtc = (supplied_by_vault(chain, symbol) for symbol in MARKETS)
    morpho.set_vault_cap(url, world, "WETH", in_weth - USDC)
    deposit(chain, 100_000 * USDC)
    assert supplied_by_vault(chain, "WETH") - in_weth < 10_000 * USDC
    assert supplied_by_vault(chain, "TBTC") - in_tbtc >= 100_000 * USDC - 1
    morpho.set_vault_cap(url, world, "TBTC", in_tbtc + 150_000 * USDC)
    with pytest.raises(DevnetError, match=named("AllCapsReached")):
        deposit(chain, 50_000 * USDC)
    deposit(chain, 30_000 * USDC)


def test_a_vault_cap_is_raised_after_the_time_lock(chain: DevnetChain) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    with pytest.raises(DevnetError, match=named("AllCapsReached")):
        deposit(chain, 5_000_000 * USDC)
    before = chain.anvil.now()
    morpho.set_vault_cap(url, world, "WETH", 20_000_000 * USDC)
    assert chain.anvil.now() - before >= DAY_S
    deposit(chain, 5_000_000 * USDC)
    with pytest.raises(DevnetError, match=named("AlreadySet")):
        morpho.set_vault_cap(url, world, "WETH", 20_000_000 * USDC)
    morpho.set_vault_cap(url, world, "WETH", 0)
    with pytest.raises(DevnetError, match=named("AllCapsReached")):
        deposit(chain, 5_000_000 * USDC)

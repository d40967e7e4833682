"""The lending markets of the world, each used as a stranger would use it."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from chains.devnet import outside
from chains.devnet.morpho import PARAMS, MorphoMarket
from chains.devnet.rpc import DevnetError, call, call_uint, send, wait_receipt
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain

pytestmark = pytest.mark.chain

DAY_S = 24 * 3600
YEAR_S = 365 * DAY_S
USDC = 10**6
WAD, RAY = 10**18, 10**27
PRICE_UNIT = 10**8
APPROVE = "approve(address,uint256)"
BALANCE = "balanceOf(address)"
CRASHED = 1_500 * PRICE_UNIT
"""USD of one WETH at which every borrower of the world is under water, and no debt is bad yet."""


class Site(NamedTuple):
    """A chain and a newcomer on it with 100,000 USDC."""

    chain: DevnetChain
    url: str
    user: str
    usdc: str

    def approve(self, spender: str) -> None:
        send(self.url, self.user, self.usdc, APPROVE, spender, 2**256 - 1)

    def wallet(self) -> int:
        return outside.erc20_balance(self.url, self.usdc, self.user)


@pytest.fixture
def site(chain: DevnetChain) -> Site:
    user = chain.world.accounts.exchange_hot
    url = chain.anvil.rpc_url
    wait_receipt(url, outside.send_usdc(url, chain.world, user, 100_000 * USDC))
    return Site(chain, url, user, chain.world.tokens["USDC"].address)


def set_price(chain: DevnetChain, symbol: str, price: int) -> None:
    send(
        chain.anvil.rpc_url, chain.world.accounts.deployer, chain.world.feeds[symbol],
        "setPrice(int256)", price,
    )  # fmt: skip


def test_aave_pays_and_gives_back(site: Site) -> None:
    aave = site.chain.world.aave
    reserve, before = aave.reserves["USDC"], site.wallet()
    site.approve(aave.pool)
    supply = "supply(address,uint256,address,uint16)"
    send(site.url, site.user, aave.pool, supply, site.usdc, 50_000 * USDC, site.user, 0)
    assert outside.erc20_balance(site.url, reserve.a_token, site.user) >= 50_000 * USDC - 1
    warp(site.url, YEAR_S)
    withdraw = "withdraw(address,uint256,address)"
    send(site.url, site.user, aave.pool, withdraw, site.usdc, 2**256 - 1, site.user)
    earned = site.wallet() - before
    assert 50_000 * USDC * 2 // 100 < earned < 50_000 * USDC * 4 // 100
    assert outside.erc20_balance(site.url, reserve.a_token, site.user) == 0


def vaults(chain: DevnetChain) -> dict[str, str]:
    world = chain.world
    return {
        "stata": world.aave.reserves["USDC"].stata,
        "metamorpho": world.morpho.vault,
        "plain": world.vault_usdc,
    }


@pytest.mark.parametrize("name", ["stata", "metamorpho", "plain"])
def test_an_erc4626_vault_pays_and_gives_back(site: Site, name: str) -> None:
    vault, before = vaults(site.chain)[name], site.wallet()
    assert call(site.url, vault, "asset()", returns="(address)")[0] == site.usdc.lower()
    site.approve(vault)
    send(site.url, site.user, vault, "deposit(uint256,address)", 50_000 * USDC, site.user)
    shares = call_uint(site.url, vault, BALANCE, site.user)
    worth = call_uint(site.url, vault, "convertToAssets(uint256)", shares)
    assert 0 <= 50_000 * USDC - worth <= 2
    warp(site.url, YEAR_S // 12)
    assert call_uint(site.url, vault, BALANCE, site.user) == shares
    redeem = "redeem(uint256,address,address)"
    send(site.url, site.user, vault, redeem, shares, site.user, site.user)
    earned = site.wallet() - before
    assert 50_000 * USDC * 15 // 10_000 < earned < 50_000 * USDC * 50 // 10_000


def morpho_state(chain: DevnetChain, market: MorphoMarket) -> tuple[int, int]:
    """(supplied, borrowed) in base units, interest up to the last accrual."""
    returns = "(uint128,uint128,uint128,uint128,uint128,uint128)"
    blue, id_ = chain.world.morpho.blue, bytes.fromhex(market.id[2:])
    state = call(chain.anvil.rpc_url, blue, "market(bytes32)", id_, returns=returns)
    return state[0], state[2]


def test_morpho_markets_are_lent_out_and_their_rate_adapts(site: Site) -> None:
    morpho = site.chain.world.morpho
    for market in morpho.markets.values():
        supplied, borrowed = morpho_state(site.chain, market)
        assert 80 <= borrowed * 100 // supplied <= 90
        accrue = f"accrueInterest({PARAMS})"
        send(site.url, site.user, morpho.blue, accrue, market.params)
        id_ = bytes.fromhex(market.id[2:])
        before = call_uint(site.url, morpho.irm, "rateAtTarget(bytes32)", id_)
        warp(site.url, 30 * DAY_S)
        send(site.url, site.user, morpho.blue, accrue, market.params)
        grown = morpho_state(site.chain, market)
        assert 0 < grown[0] - supplied <= grown[1] - borrowed
        # Below its target of 90 %, the curve comes down with time.
        assert call_uint(site.url, morpho.irm, "rateAtTarget(bytes32)", id_) < before


def test_morpho_lends_and_takes_back(site: Site) -> None:
    morpho, world = site.chain.world.morpho, site.chain.world
    market, before = morpho.markets["WETH"], site.wallet()
    site.approve(morpho.blue)
    supply = f"supply({PARAMS},uint256,uint256,address,bytes)"
    terms = (market.params, 50_000 * USDC, 0, site.user, b"")
    send(site.url, site.user, morpho.blue, supply, *terms)
    send(site.url, site.user, world.tokens["WETH"].address, "deposit()", value=10 * WAD)
    send(site.url, site.user, world.tokens["WETH"].address, APPROVE, morpho.blue, 10 * WAD)
    pledge = f"supplyCollateral({PARAMS},uint256,address,bytes)"
    send(site.url, site.user, morpho.blue, pledge, market.params, 10 * WAD, site.user, b"")
    borrow = f"borrow({PARAMS},uint256,uint256,address,address)"
    with pytest.raises(DevnetError):  # 30,000 USD lend 25,800
        too_much = (market.params, 25_801 * USDC, 0, site.user, site.user)
        send(site.url, site.user, morpho.blue, borrow, *too_much)
    enough = (market.params, 25_000 * USDC, 0, site.user, site.user)
    send(site.url, site.user, morpho.blue, borrow, *enough)
    assert site.wallet() == before - 25_000 * USDC
    withdraw = f"withdraw({PARAMS},uint256,uint256,address,address)"
    back = (market.params, 50_000 * USDC - 1, 0, site.user, site.user)
    send(site.url, site.user, morpho.blue, withdraw, *back)
    assert site.wallet() == before + 25_000 * USDC - 1


def test_metamorpho_fills_its_queue_in_order(site: Site) -> None:
    morpho = site.chain.world.morpho
    assets = [morpho_state(site.chain, m)[0] for m in morpho.markets.values()]
    assert assets[0] >= 5_000_000 * USDC > assets[1] >= 3_000_000 * USDC
    site.approve(morpho.vault)
    send(site.url, site.user, morpho.vault, "deposit(uint256,address)", 1_000 * USDC, site.user)
    after = [morpho_state(site.chain, m)[0] for m in morpho.markets.values()]
    assert after[1] - assets[1] >= 1_000 * USDC  # the first market is at its cap
    assert call_uint(site.url, morpho.vault_factory, "isMetaMorpho(address)", morpho.vault) == 1


def test_compound_pays_and_gives_back(site: Site) -> None:
    v_usdc, before = site.chain.world.compound.v_tokens["USDC"], site.wallet()
    site.approve(v_usdc)
    send(site.url, site.user, v_usdc, "mint(uint256)", 50_000 * USDC)
    rate = call_uint(site.url, v_usdc, "exchangeRateStored()")
    warp(site.url, YEAR_S)
    send(site.url, site.user, v_usdc, "accrueInterest()")
    assert call_uint(site.url, v_usdc, "exchangeRateStored()") > rate
    shares = call_uint(site.url, v_usdc, BALANCE, site.user)
    send(site.url, site.user, v_usdc, "redeem(uint256)", shares)
    earned = site.wallet() - before
    assert 50_000 * USDC * 2 // 100 < earned < 50_000 * USDC * 4 // 100
    reserve = site.chain.world.compound.share_reserve
    assert outside.erc20_balance(site.url, site.usdc, reserve) > 0


def test_compound_counts_utilisation_and_refuses_over_the_cap(site: Site) -> None:
    compound = site.chain.world.compound
    v_usdc = compound.v_tokens["USDC"]
    cash, borrowed = (call_uint(site.url, v_usdc, f) for f in ("getCash()", "totalBorrows()"))
    assert 70 <= borrowed * 100 // (cash + borrowed) <= 80
    caps = "setMarketSupplyCaps(address[],uint256[])"
    cap = cash + borrowed + 10_000 * USDC
    send(site.url, compound.admin, compound.comptroller, caps, [v_usdc], [cap])
    site.approve(v_usdc)
    with pytest.raises(DevnetError):
        send(site.url, site.user, v_usdc, "mint(uint256)", 20_000 * USDC)
    send(site.url, site.user, v_usdc, "mint(uint256)", 5_000 * USDC)


def liquidate_on_aave(site: Site) -> None:
    world = site.chain.world
    site.approve(world.aave.pool)
    terms = (world.tokens["WETH"].address, site.usdc, world.accounts.borrower, 3_000 * USDC)
    liquidation = "liquidationCall(address,address,address,uint256,bool)"
    send(site.url, site.user, world.aave.pool, liquidation, *terms, False)


def liquidate_on_morpho(site: Site) -> None:
    world = site.chain.world
    site.approve(world.morpho.blue)
    terms = (world.morpho.markets["WETH"].params, world.accounts.borrower, WAD, 0, b"")
    liquidation = f"liquidate({PARAMS},address,uint256,uint256,bytes)"
    send(site.url, site.user, world.morpho.blue, liquidation, *terms)


def liquidate_on_compound(site: Site) -> None:
    world = site.chain.world
    v_usdc, v_weth = world.compound.v_tokens["USDC"], world.compound.v_tokens["WETH"]
    site.approve(v_usdc)
    terms = (world.accounts.borrower, 3_000 * USDC, v_weth)
    send(site.url, site.user, v_usdc, "liquidateBorrow(address,uint256,address)", *terms)
    shares = call_uint(site.url, v_weth, BALANCE, site.user)
    send(site.url, site.user, v_weth, "redeem(uint256)", shares)


@pytest.mark.parametrize(
    "liquidate", [liquidate_on_aave, liquidate_on_morpho, liquidate_on_compound]
)
def test_one_price_moves_every_market(site: Site, liquidate: Callable[[Site], None]) -> None:
    """Property 56: what a crashed price does to borrowers can be had, in each market."""
    weth, before = site.chain.world.tokens["WETH"].address, site.wallet()
    with pytest.raises(DevnetError):
        liquidate(site)
    set_price(site.chain, "WETH", CRASHED)
    liquidate(site)
    paid = before - site.wallet()
    seized_usd = call_uint(site.url, weth, BALANCE, site.user) * CRASHED // PRICE_UNIT
    assert paid > 0
    assert seized_usd * USDC // WAD > paid  # the bonus


def test_aave_listens_to_its_admins_only(site: Site) -> None:
    aave = site.chain.world.aave
    for who, signature, value in (
        (aave.risk_admin, "setSupplyCap(address,uint256)", 1),
        (aave.pool_admin, "setReserveFreeze(address,bool)", True),
        (aave.emergency_admin, "setReservePause(address,bool)", True),
    ):
        with pytest.raises(DevnetError):
            send(site.url, site.user, aave.configurator, signature, site.usdc, value)
        send(site.url, who, aave.configurator, signature, site.usdc, value)
    site.approve(aave.pool)
    with pytest.raises(DevnetError):
        supply = "supply(address,uint256,address,uint16)"
        send(site.url, site.user, aave.pool, supply, site.usdc, USDC, site.user, 0)

"""A market of Compound V2's shape (Venus): our arithmetic is the contract's, rates as predicted."""

from dataclasses import replace
from fractions import Fraction

import pytest

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import call_uint, deploy, rpc, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum
from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.vtoken import VToken, VTokenMarket
from router.curves import YEAR_S, rate_ray_down
from router.rates.jump_rate import accrued, exchange_rate_down, supply_of
from router.tiers import WAD
from router.venues.compound import CompoundVenue, state_of
from router.venues.port import VenueState
from tests.router.venues.people import HOLDER, UNIT, close, head, whale_pays, yearly

pytestmark = pytest.mark.chain

DAY = 86_400


def v_usdc(chain: DevnetChain) -> str:
    return chain.world.compound.v_tokens["USDC"]


async def market_of(chain: DevnetChain, client: EvmClient) -> VTokenMarket:
    found = await VToken(client, v_usdc(chain)).market(HOLDER, await client.block_number())
    return accrued(found)


async def state(chain: DevnetChain, client: EvmClient) -> VenueState:
    market = await market_of(chain, client)
    own = market.holder_tokens * exchange_rate_down(market) // WAD
    return state_of(market, own, await head(client))


def mint(chain: DevnetChain, amount: int) -> None:
    whale = whale_pays(chain, v_usdc(chain), amount)
    signature = "mintBehalf(address,uint256)"
    send(chain.anvil.rpc_url, whale, v_usdc(chain), signature, HOLDER, amount)


def borrow_to(chain: DevnetChain, bps: int) -> None:
    """The borrower pledges what WETH it takes, then borrows up to this utilisation."""
    url, world = chain.anvil.rpc_url, chain.world
    borrower, v_weth = world.accounts.borrower, world.compound.v_tokens["WETH"]
    cash, debt, reserves = (
        call_uint(url, v_usdc(chain), name)
        for name in ("getCash()", "totalBorrows()", "totalReserves()")
    )
    more = (cash + debt - reserves) * bps // 10_000 - debt
    pledge = 2_000 * 10**18
    weth = world.tokens["WETH"].address
    send(url, borrower, weth, "approve(address,uint256)", v_weth, pledge)
    send(url, borrower, v_weth, "mint(uint256)", pledge)
    send(url, borrower, v_usdc(chain), "borrow(uint256)", more)


def govern(chain: DevnetChain, to: str, signature: str, *args: object) -> None:
    send(chain.anvil.rpc_url, chain.world.compound.admin, to, signature, *args)


@pytest.mark.parametrize("seconds", [1, 3600, 40 * DAY])
async def test_a_market_is_brought_to_its_block_as_the_contract_does_it(
    chain: DevnetChain, client: EvmClient, seconds: int
) -> None:
    mint(chain, 10_000 * UNIT)
    before = await VToken(client, v_usdc(chain)).market(HOLDER, await client.block_number())
    warp(chain.anvil.rpc_url, seconds)
    found = await market_of(chain, client)
    block = await client.block_number()
    data = bytes.fromhex("bd6d894d")  # exchangeRateCurrent(): accrues, so it is no view
    told = int.from_bytes(await client.call(v_usdc(chain), data, block), "big")
    assert exchange_rate_down(found) == told
    assert found.borrows > before.borrows


@pytest.mark.parametrize("bps", [7_500, 7_990, 9_400])
@pytest.mark.parametrize("amount", [1_000, 100_000, 3_000_000])
async def test_a_market_pays_after_our_deposit_what_was_predicted(
    chain: DevnetChain, client: EvmClient, amount: int, bps: int
) -> None:
    """By the market's own word, and by what a day really brings: interest is simple."""
    if bps != 7_500:
        borrow_to(chain, bps)
    predicted = rate_ray_down((await state(chain, client)).curve, amount * UNIT)
    mint(chain, amount * UNIT)
    told = call_uint(chain.anvil.rpc_url, v_usdc(chain), "supplyRatePerBlock()")
    close(predicted, Fraction(told * YEAR_S, WAD))
    start, before = await head(client), await market_of(chain, client)
    again = await state(chain, client)
    close(rate_ray_down(again.curve, again.position), Fraction(told * YEAR_S, WAD))
    warp(chain.anvil.rpc_url, DAY)
    end, after = await head(client), await market_of(chain, client)
    close(predicted, yearly(exchange_rate_down(before), exchange_rate_down(after), start, end))


async def test_our_own_deposit_is_not_in_the_supply(chain: DevnetChain, client: EvmClient) -> None:
    before = await state(chain, client)
    mint(chain, 2_000_000 * UNIT)
    after = await state(chain, client)
    assert before.supply is not None
    assert after.supply is not None
    assert abs(after.supply - before.supply) < 10 * UNIT  # a second's interest
    assert abs(after.position - 2_000_000 * UNIT) <= 2


async def test_caps_pauses_and_drained_markets_are_seen(
    chain: DevnetChain, client: EvmClient
) -> None:
    comptroller, market = chain.world.compound.comptroller, v_usdc(chain)
    mint(chain, 1_000_000 * UNIT)
    open_ = await state(chain, client)
    assert (open_.refusal, open_.withdrawable) == ("", open_.position)
    assert open_.capacity is not None

    caps = "setMarketSupplyCaps(address[],uint256[])"
    cap = supply_of(await market_of(chain, client)) + 1_000 * UNIT
    govern(chain, comptroller, caps, [market], [cap])
    capacity = (await state(chain, client)).capacity
    assert capacity is not None
    assert 900 * UNIT < capacity <= 1_000 * UNIT + 2
    mint(chain, capacity - 10 * UNIT)
    govern(chain, comptroller, caps, [market], [0])
    closed = await state(chain, client)
    assert (closed.refusal, closed.capacity) == ("the market takes no supply", 0)
    assert closed.withdrawable == closed.position
    govern(chain, comptroller, caps, [market], [2**256 - 1])
    assert (await state(chain, client)).capacity is None

    paused = "setActionsPaused(address[],uint8[],bool)"
    govern(chain, comptroller, paused, [market], [1], True)
    shut = await state(chain, client)
    assert (shut.refusal, shut.withdrawable) == ("supply or withdrawal is paused", 0)
    govern(chain, comptroller, paused, [market], [1], False)

    borrow_to(chain, 9_900)
    drained = await state(chain, client)
    assert drained.refusal == "utilisation is above 97 %"
    assert drained.withdrawable == drained.liquidity
    assert drained.withdrawable < 200_000 * UNIT


def wrapped(chain: DevnetChain, client: EvmClient, market: str = "USDC") -> CompoundVenue:
    """Our wrapper for HOLDER, which stands for a guard here."""
    world, url = chain.world, chain.anvil.rpc_url
    v_token = world.compound.v_tokens[market]
    artifact = own_artifact("VTokenVault")
    token = checksum(deploy(url, world.accounts.deployer, artifact, v_token, HOLDER))
    return CompoundVenue(client, v_token, world.tokens[market].address, token, HOLDER)


def holder_sends(chain: DevnetChain, to: str, signature: str, *args: object) -> None:
    url = chain.anvil.rpc_url
    rpc(url, "anvil_impersonateAccount", HOLDER)
    rpc(url, "anvil_setBalance", HOLDER, hex(10**18))
    try:
        send(url, HOLDER, to, signature, *args)
    finally:
        rpc(url, "anvil_stopImpersonatingAccount", HOLDER)


async def test_the_wrapper_earns_what_was_predicted_and_pays_back(
    chain: DevnetChain, client: EvmClient
) -> None:
    url, adapter, amount = chain.anvil.rpc_url, wrapped(chain, client), 2_000_000 * UNIT
    predicted = rate_ray_down((await adapter.read(await head(client))).curve, amount)
    whale, usdc = chain.world.accounts.whale, adapter.underlying
    send(url, whale, usdc, "transfer(address,uint256)", HOLDER, amount)
    due = await adapter.shares_for(amount, await head(client))
    holder_sends(chain, usdc, "approve(address,uint256)", adapter.token, amount)
    holder_sends(chain, adapter.token, "deposit(uint256,address)", amount, HOLDER)
    start = await head(client)
    shares = await client.erc20_balance(adapter.token, HOLDER, start.number)
    assert abs(due - shares) * 10**6 <= shares  # the price of some seconds later
    before = await adapter.value(start)
    state = await adapter.read(start)
    assert (state.position, state.refusal, state.withdrawable) == (before, "", before)

    warp(url, DAY)
    end = await head(client)
    after = await adapter.value(end)
    assert (await adapter.read(end)).position == after
    close(predicted, yearly(before, after, start, end))

    borrow_to(chain, 9_900)
    drained = await adapter.read(await head(client))
    hint = (await Erc4626(client, adapter.token).state(HOLDER, drained.as_of.number)).max_withdraw
    assert drained.withdrawable == drained.liquidity
    assert drained.withdrawable < hint < drained.position
    assert hint - drained.withdrawable < 200 * UNIT  # what the reserves take in an hour
    warp(url, 3_500)
    out = "withdraw(uint256,address,address)"
    holder_sends(chain, adapter.token, out, drained.withdrawable, HOLDER, HOLDER)
    found = await client.erc20_balance(usdc, HOLDER, await client.block_number())
    assert found >= drained.withdrawable


async def test_a_wrapper_of_something_else_is_refused(
    chain: DevnetChain, client: EvmClient
) -> None:
    good = wrapped(chain, client)
    weth = wrapped(chain, client, "WETH")
    other = "the wrapper is of another asset or market"
    cases = [
        (replace(good, market=weth.market), other),
        (replace(good, token=weth.token), other),
        (replace(weth, underlying=good.underlying), other),
        (replace(good, holder=chain.world.accounts.whale), "the wrapper is another guard's"),
    ]
    block = await head(client)
    for venue, refusal in cases:
        assert (await venue.read(block)).refusal == refusal
    assert (await good.read(block)).refusal == ""

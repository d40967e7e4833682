"""Morpho Blue and MetaMorpho: our arithmetic is the contracts', and rates are as predicted."""

from fractions import Fraction

import pytest
from eth_abi.abi import encode

from chains.devnet.morpho import PARAMS
from chains.devnet.rpc import call, send
from chains.devnet.scenario import morpho
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import ZERO_ADDRESS, keccak
from chains.evm.client import EvmClient
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.metamorpho import MetaMorpho
from chains.evm.contracts.morpho_blue import MorphoBlue, MorphoMarket
from router.curve_json import from_json
from router.curves import RAY, YEAR_S, rate_ray_down
from router.lending_curves import Queued
from router.rates.morpho_blue import accrued, assets_down
from router.rates.vault_queue import VaultBook, book_of
from router.tiers import WAD
from router.venues.metamorpho import MetaMorphoVenue
from router.venues.morpho_blue import MorphoBlueVenue
from tests.router.venues.people import HOLDER, UNIT, close, deposit, head, whale_pays, yearly

pytestmark = pytest.mark.chain

SIX = "(uint128,uint128,uint128,uint128,uint128,uint128)"
HOUR, DAY = 3600, 86_400


def direct(chain: DevnetChain, client: EvmClient, symbol: str = "WETH") -> MorphoBlueVenue:
    world = chain.world
    market = world.morpho.markets[symbol]
    return MorphoBlueVenue(client, world.morpho.blue, market.id, market.loan_token, HOLDER)


def vault(chain: DevnetChain, client: EvmClient) -> MetaMorphoVenue:
    world = chain.world
    return MetaMorphoVenue(client, world.morpho.vault, world.tokens["USDC"].address, HOLDER)


async def markets_of(
    chain: DevnetChain, client: EvmClient, holder: str = HOLDER
) -> dict[str, MorphoMarket]:
    ids = [m.id for m in chain.world.morpho.markets.values()]
    blue = MorphoBlue(client, chain.world.morpho.blue)
    return await blue.markets(ids, holder, await client.block_number())


def paid_to_suppliers(chain: DevnetChain, market: MorphoMarket) -> Fraction:
    """A year's rate by the interest rate model itself, at this utilisation."""
    totals = (
        *(market.supply_assets, market.supply_shares, market.borrow_assets, market.borrow_shares),
        *(market.last_update_s, market.fee_wad),
    )
    params = next(m.params for m in chain.world.morpho.markets.values() if m.id == market.id)
    signature = f"borrowRateView({PARAMS},{SIX})"
    url = chain.anvil.rpc_url
    (rate,) = call(url, market.irm, signature, params, totals, returns="(uint256)")
    usage = Fraction(market.borrow_assets, market.supply_assets)
    return Fraction(rate * YEAR_S, WAD) * usage * Fraction(WAD - market.fee_wad, WAD)


def supply(chain: DevnetChain, symbol: str, amount: int) -> None:
    blue, market = chain.world.morpho.blue, chain.world.morpho.markets[symbol]
    whale = whale_pays(chain, blue, amount)
    signature = f"supply({PARAMS},uint256,uint256,address,bytes)"
    send(chain.anvil.rpc_url, whale, blue, signature, market.params, amount, 0, HOLDER, b"")


@pytest.mark.parametrize("seconds", [1, HOUR, 30 * DAY, 400 * DAY])
@pytest.mark.parametrize("bps", [0, 4_000, 8_950, 9_000, 9_900])
async def test_a_market_is_brought_to_a_moment_as_the_contract_does_it(
    chain: DevnetChain, client: EvmClient, bps: int, seconds: int
) -> None:
    """Every unit of assets, shares and rate at target."""
    url, market = chain.anvil.rpc_url, chain.world.morpho.markets["TBTC"]
    morpho.borrow_to_utilisation(url, chain.world, "TBTC", bps)
    before = (await markets_of(chain, client))[market.id]
    warp(url, seconds)
    signature = f"accrueInterest({PARAMS})"
    send(url, chain.world.accounts.whale, chain.world.morpho.blue, signature, market.params)
    after = (await markets_of(chain, client))[market.id]
    assert after.last_update_s - before.last_update_s >= seconds
    assert accrued(before, after.last_update_s) == after


@pytest.mark.parametrize("bps", [5_000, 8_500, 9_500])
@pytest.mark.parametrize("amount", [1_000, 300_000, 5_000_000])
async def test_a_market_pays_after_our_deposit_what_was_predicted(
    chain: DevnetChain, client: EvmClient, amount: int, bps: int
) -> None:
    morpho.borrow_to_utilisation(chain.anvil.rpc_url, chain.world, "WETH", bps)
    adapter = direct(chain, client)
    state = await adapter.read(await head(client))
    supply(chain, "WETH", amount * UNIT)
    found = (await markets_of(chain, client))[adapter.market]
    close(rate_ray_down(state.curve, amount * UNIT), paid_to_suppliers(chain, found))
    again = await adapter.read(await head(client))
    assert abs(again.position - amount * UNIT) <= 2
    close(rate_ray_down(again.curve, again.position), paid_to_suppliers(chain, found))


async def test_a_position_in_a_market_grows_as_simulated(
    chain: DevnetChain, client: EvmClient
) -> None:
    adapter = direct(chain, client)
    supply(chain, "WETH", 3_000_000 * UNIT)
    market = (await markets_of(chain, client))[adapter.market]
    warp(chain.anvil.rpc_url, 7 * DAY)
    end = await head(client)
    later = accrued(market, end.timestamp)
    assert await adapter.value(end) == assets_down(later, later.own_shares)


async def test_a_market_can_be_read_and_not_entered(chain: DevnetChain, client: EvmClient) -> None:
    state = await direct(chain, client).read(await head(client))
    assert "read, not entered" in state.refusal
    assert state.utilisation_wad is not None
    assert abs(state.utilisation_wad - 85 * WAD // 100) < WAD // 1000


def accrue(chain: DevnetChain) -> None:
    """The model's own rate at target is that of a market's last accrual."""
    blue, whale = chain.world.morpho.blue, chain.world.accounts.whale
    for market in chain.world.morpho.markets.values():
        send(chain.anvil.rpc_url, whale, blue, f"accrueInterest({PARAMS})", market.params)


def paid_to_holders(chain: DevnetChain, book: VaultBook) -> Fraction:
    """What the vault earns at the rates of the model itself, after its fee."""
    earned = Fraction(0)
    for id_, market in book.markets.items():
        if market.irm == ZERO_ADDRESS:
            continue
        earned += paid_to_suppliers(chain, market) * book.held[id_]
    return earned / book.total * Fraction(WAD - book.state.fee_wad, WAD)


@pytest.mark.parametrize("amount", [1_000, 400_000, 1_500_000, 1_900_000])
async def test_a_vault_pays_after_our_deposit_what_was_predicted(
    chain: DevnetChain, client: EvmClient, amount: int
) -> None:
    """The larger deposits fill the first market to its cap and go on in the second."""
    morpho.set_vault_cap(chain.anvil.rpc_url, chain.world, "WETH", 6_000_000 * UNIT)
    adapter = vault(chain, client)
    state = await adapter.read(await head(client))
    predicted = rate_ray_down(state.curve, amount * UNIT)
    deposit(chain, adapter.token, amount * UNIT)
    start = await head(client)
    accrue(chain)
    book = await adapter.book(await head(client))
    close(predicted, paid_to_holders(chain, book))
    again = await adapter.read(await head(client))
    close(rate_ray_down(again.curve, again.position), paid_to_holders(chain, book))
    assert again.position == await adapter.value(again.as_of)
    passed_s = again.as_of.timestamp - start.timestamp  # accruing takes blocks of its own
    interest = predicted * amount * UNIT * passed_s // (RAY * YEAR_S)
    assert abs(again.position - amount * UNIT - interest) <= 3


async def test_money_of_a_vault_that_no_market_borrows_earns_nothing(
    chain: DevnetChain, client: EvmClient
) -> None:
    """Vaults park what they do not lend in an idle market, which has no interest rate model."""
    url, world, admin = chain.anvil.rpc_url, chain.world, chain.world.morpho.owner
    idle = (world.tokens["USDC"].address, *(ZERO_ADDRESS,) * 3, 0)
    send(url, admin, world.morpho.blue, "enableIrm(address)", ZERO_ADDRESS)
    send(url, admin, world.morpho.blue, "enableLltv(uint256)", 0)
    send(url, admin, world.morpho.blue, f"createMarket({PARAMS})", idle)
    send(url, admin, world.morpho.vault, f"submitCap({PARAMS},uint256)", idle, 2**128)
    warp(url, DAY)
    send(url, admin, world.morpho.vault, f"acceptCap({PARAMS})", idle)
    id_ = keccak(encode([PARAMS], [idle]))
    send(url, admin, world.morpho.vault, "setSupplyQueue(bytes32[])", [id_])
    adapter = vault(chain, client)
    state = await adapter.read(await head(client))
    deposit(chain, adapter.token, 1_000_000 * UNIT)
    accrue(chain)
    book = await adapter.book(await head(client))
    assert abs(book.held["0x" + id_.hex()] - 1_000_000 * UNIT) <= 2
    close(rate_ray_down(state.curve, 1_000_000 * UNIT), paid_to_holders(chain, book))
    again = await adapter.read(await head(client))
    assert again.position == await adapter.value(again.as_of)


async def test_what_leaves_a_vault_leaves_it_as_predicted(
    chain: DevnetChain, client: EvmClient
) -> None:
    """Below our deposit the curve follows the withdraw queue, where the markets are the same and
    what is taken first is not what was filled last."""
    url, adapter = chain.anvil.rpc_url, vault(chain, client)
    whale = chain.world.accounts.whale
    whales = MetaMorphoVenue(client, adapter.token, adapter.underlying, whale)
    state = await whales.read(await head(client))
    for leaves in (500_000 * UNIT, 600_000 * UNIT):
        send(url, whale, adapter.token, "withdraw(uint256,address,address)", leaves, whale, whale)
    accrue(chain)
    book = await whales.book(await head(client))
    close(rate_ray_down(state.curve, book.own), paid_to_holders(chain, book))


@pytest.mark.parametrize("seconds", [60, HOUR, DAY])
async def test_a_position_in_a_vault_grows_as_simulated_and_nearly_as_its_curve_says(
    chain: DevnetChain, client: EvmClient, seconds: int
) -> None:
    """The simulation is exact. The curve is the moment's: the rate at target moves by 50 * err a
    year, and err is some -0.1 here."""
    adapter, amount = vault(chain, client), 1_500_000 * UNIT
    predicted = rate_ray_down((await adapter.read(await head(client))).curve, amount)
    deposit(chain, adapter.token, amount)
    start = await head(client)
    state = await MetaMorpho(client, adapter.token).state(HOLDER, start.number)
    markets = await markets_of(chain, client, adapter.token)
    price = Erc4626(client, adapter.token)
    before = await price.price(start.number)
    warp(chain.anvil.rpc_url, seconds)
    end = await head(client)
    assert await adapter.value(end) == book_of(state, markets, end.timestamp).own
    realised = yearly(before, await price.price(end.number), start, end)
    drift = Fraction(50 * seconds, YEAR_S) * Fraction(1, 4)
    close(predicted, realised, drift + Fraction(1, 10**5))


async def test_vault_limits_follow_caps_and_liquidity(
    chain: DevnetChain, client: EvmClient
) -> None:
    url, world = chain.anvil.rpc_url, chain.world
    adapter = vault(chain, client)
    deposit(chain, adapter.token, 1_000_000 * UNIT)
    before = await adapter.read(await head(client))
    assert before.capacity is not None
    assert abs(before.capacity - 1_000_000 * UNIT) < 2_000 * UNIT
    assert (before.withdrawable, before.exit_s, before.refusal) == (before.position, 0, "")
    assert before.supply is not None
    assert abs(before.supply - 8_000_000 * UNIT) < 2_000 * UNIT

    morpho.set_vault_cap(url, world, "TBTC", 1_000_000 * UNIT)
    capped = await adapter.read(await head(client))
    assert capped.capacity == 0
    assert capped.refusal == ""

    for symbol in ("WETH", "TBTC"):
        morpho.borrow_to_utilisation(url, world, symbol, 9_990)
    drained = await adapter.read(await head(client))
    assert drained.refusal == "utilisation is above 97 %"
    assert drained.liquidity == drained.withdrawable
    hint = (await Erc4626(client, adapter.token).state(HOLDER, drained.as_of.number)).max_withdraw
    assert abs(drained.withdrawable - hint) <= 2
    assert drained.withdrawable < 20_000 * UNIT
    # Beyond what can leave, the curve still has a value for every deposit.
    assert all(drained.curve.income(x)[1] > 0 for x in (0, 1, drained.position // 2))


async def test_a_vaults_curve_is_kept_and_its_ranges_hold(
    chain: DevnetChain, client: EvmClient
) -> None:
    adapter = vault(chain, client)
    deposit(chain, adapter.token, 1_000_000 * UNIT)
    curve = (await adapter.read(await head(client))).curve
    assert isinstance(curve, Queued)
    assert from_json(curve.to_json()) == curve
    parts = curve.ranges(3_000_000 * UNIT)
    assert [p.lo for p in parts[1:]] == [p.hi + 1 for p in parts[:-1]]
    for slot in curve.slots[1:]:  # no jump where one market ends and the next begins
        low, high = (Fraction(*curve.income(x)) for x in (slot.lo - 1, slot.lo))
        assert abs(high - low) <= RAY

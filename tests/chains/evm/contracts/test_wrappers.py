"""The wrappers against the real contracts of the devnet world."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from coincurve import PrivateKey

from chains.devnet.deploy import deploy_installation
from chains.devnet.rpc import DevnetError, send, submit, wait_receipt
from chains.evm.contracts.guard_setup import venue_id
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain, start_chain
from chains.errors import CallReverted
from chains.evm.address import address_from_public_key, checksum, keccak
from chains.evm.calldata import encode_call
from chains.evm.client import EvmClient
from chains.evm.contracts import audit_anchor, sweeper, treasury_guard
from chains.evm.contracts.aave_pool import RAY, AavePool, AaveReserve
from chains.evm.contracts.audit_anchor import AuditAnchor
from chains.evm.contracts.erc20 import Erc20
from chains.evm.contracts.erc4626 import Erc4626
from chains.evm.contracts.staking import Staking
from chains.evm.contracts.sweeper import Sweeper
from chains.evm.contracts.treasury_guard import EVERYTHING, Bucket, TreasuryGuard, VenueKind
from chains.evm.positions import Holding, HoldingKind, token_balances, values
from chains.evm.transactions import UnsignedTransaction
from chains.evm.watcher import transfers_in
from chains.types import Receipt
from tests.chains.evm.conftest import mined
from tests.chains.evm.test_transactions import authorize, sign

pytestmark = pytest.mark.chain

REPO = Path(__file__).resolve().parents[4]
UNIT, ETHER, GWEI = 10**6, 10**18, 10**9
LOG_ID = b"\7" * 32
TREASURY, PAYOUT = checksum("0x" + "71" * 20), checksum("0x" + "72" * 20)
AAVE, VAULT, STAKING = (
    "0x" + venue_id(n).hex() for n in ("aave-usdc", "vault-usdc", "staking-eth")
)
DAY_S = 24 * 3600


@dataclass
class Setting:
    """A chain with the world and an installation on it; accounts of Anvil play all roles."""

    chain: DevnetChain
    contracts: dict[str, str]
    allocator: str
    whale: str
    usdc: str
    client: EvmClient

    async def act(self, sender: str, to: str, data: bytes) -> Receipt:
        url = self.chain.anvil.rpc_url
        tx_hash = submit(url, sender, to, "0x" + data.hex())
        wait_receipt(url, tx_hash)
        return await mined(self.client, tx_hash)

    async def head(self) -> int:
        return await self.client.block_number()


@pytest.fixture(scope="module")
def world() -> Iterator[DevnetChain]:
    chain = start_chain(REPO / ".cache", 31337)
    yield chain
    chain.anvil.stop()


@pytest.fixture(scope="module")
def installed(world: DevnetChain) -> dict[str, str]:
    accounts = world.anvil.rpc("eth_accounts")
    return deploy_installation(
        world.anvil.rpc_url,
        world.world,
        treasury=TREASURY,
        payout=PAYOUT,
        allocator=accounts[8],
        anchorer=accounts[8],
        owner=accounts[9],
        guardian=accounts[9],
        log_id=LOG_ID,
        exchange_deposit_address=None,
    )


@pytest.fixture
async def at(world: DevnetChain, installed: dict[str, str]) -> AsyncIterator[Setting]:
    snapshot = world.anvil.snapshot()
    client = EvmClient(31337, [world.anvil.rpc_url])
    accounts = world.anvil.rpc("eth_accounts")
    whale, usdc = world.world.accounts.whale, world.world.tokens["USDC"].address
    yield Setting(world, installed, checksum(accounts[8]), whale, usdc, client)
    await client.close()
    world.anvil.revert(snapshot)


def fund(at: Setting, to: str, amount: int) -> None:
    send(at.chain.anvil.rpc_url, at.whale, at.usdc, "transfer(address,uint256)", to, amount)


def ray_mul(a: int, b: int) -> int:
    """As Aave's WadRayMath rounds: half up."""
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    return (a * RAY + b // 2) // b


def aave_rates(reserve: AaveReserve) -> tuple[int, int]:
    """(supply, borrow) in ray, as DefaultReserveInterestRateStrategyV2 computes them."""
    curve, debt = reserve.strategy, reserve.total_debt
    usage, optimal = ray_div(debt, reserve.available + debt), curve.optimal_usage_ray
    if usage > optimal:
        steep = ray_mul(curve.slope2_ray, ray_div(usage - optimal, RAY - optimal))
        borrow = curve.base_ray + curve.slope1_ray + steep
    else:
        borrow = curve.base_ray + ray_div(ray_mul(curve.slope1_ray, usage), optimal)
    kept = 10_000 - reserve.reserve_factor_bps
    return (ray_mul(borrow, usage) * kept + 5_000) // 10_000, borrow


@pytest.mark.parametrize("borrowed", [1, 2_600_000], ids=["below the kink", "above the kink"])
async def test_the_supply_rate_follows_from_what_we_read(at: Setting, borrowed: int) -> None:
    """Curves are built from these fields: to the last digit, Aave's own rates come out of them."""
    world, url = at.chain.world, at.chain.anvil.rpc_url
    borrow = "borrow(address,uint256,uint256,uint16,address)"
    borrower = world.accounts.borrower
    terms = (at.usdc, borrowed * UNIT, 2, 0, borrower)
    send(url, borrower, world.aave.pool, borrow, *terms)
    reserve = await AavePool(at.client, world.aave.pool).reserve(at.usdc, await at.head())
    assert (reserve.liquidity_rate_ray, reserve.variable_borrow_rate_ray) == aave_rates(reserve)
    assert reserve.liquidity_rate_ray > RAY // 100
    assert reserve.a_token == world.aave.reserves["USDC"].a_token
    assert reserve.variable_debt_token == world.aave.reserves["USDC"].debt_token
    assert (reserve.decimals, reserve.active, reserve.frozen, reserve.paused) == (
        *(6, True, False, False),
    )


async def test_what_is_sent_to_the_pool_uncalled_for_changes_nothing(at: Setting) -> None:
    """Neither the rate nor what can be withdrawn may be moved by a donation."""
    pool = AavePool(at.client, at.chain.world.aave.pool)
    before = await pool.reserve(at.usdc, await at.head())
    fund(at, before.a_token, 5_000_000 * UNIT)
    after = await pool.reserve(at.usdc, await at.head())
    assert after.available == before.available


async def test_the_supply_cap_counts_the_treasury(at: Setting) -> None:
    world, url = at.chain.world, at.chain.anvil.rpc_url
    pool, aave = AavePool(at.client, world.aave.pool), world.aave
    warp(at.chain.anvil.rpc_url, 30 * DAY_S)
    supply = "supply(address,uint256,address,uint16)"
    send(url, at.whale, at.usdc, "approve(address,uint256)", aave.pool, 2**255)
    send(url, at.whale, aave.pool, supply, at.usdc, UNIT, at.whale, 0)
    reserve = await pool.reserve(at.usdc, await at.head())
    a_tokens = await at.client.call(reserve.a_token, encode_call("totalSupply()"), await at.head())
    assert reserve.total_supplied > int.from_bytes(a_tokens) > reserve.available > 0
    cap = reserve.total_supplied // UNIT + 10
    send(url, aave.risk_admin, aave.configurator, "setSupplyCap(address,uint256)", at.usdc, cap)
    capped = await pool.reserve(at.usdc, await at.head())
    assert capped.supply_cap == cap * UNIT
    room = capped.supply_cap - capped.total_supplied
    with pytest.raises(DevnetError):
        send(url, at.whale, aave.pool, supply, at.usdc, room + 10, at.whale, 0)
    # A few seconds of interest, and the treasury's part of it, come in between.
    send(url, at.whale, aave.pool, supply, at.usdc, room - UNIT, at.whale, 0)


async def test_guard_and_aave(at: Setting) -> None:
    guard = TreasuryGuard(at.client, at.contracts["guard_usdc"])
    fund(at, guard.address, 1_000 * UNIT)
    block = await at.head()
    assert await guard.asset(block) == at.usdc
    assert await guard.idle(block) == 1_000 * UNIT
    assert await guard.allocator(block) == at.allocator
    assert await guard.venue_ids(block) == [AAVE, VAULT]
    assert await guard.is_payee(TREASURY, block)
    assert not await guard.is_payee(PAYOUT, block)
    assert not await guard.paused(block)
    venue = await guard.venue(AAVE, block)
    assert (venue.kind, venue.target) == (VenueKind.AAVE_V3, at.chain.world.aave.reserves["USDC"].a_token)
    assert venue.aux == at.chain.world.aave.pool
    assert (venue.booked, venue.requested) == (0, 0)
    assert await guard.flow_left(AAVE, block) == venue.flow_max > 0
    bucket = await guard.payee_bucket(TREASURY, block)
    assert bucket.left == bucket.day_max > 0
    assert await guard.payees_bucket(block) == Bucket(60_000_000 * UNIT, 60_000_000 * UNIT)
    assert await guard.payee_bucket(PAYOUT, block) == Bucket(0, 0)
    assert await guard.idle_min(block) == UNIT
    assert (await guard.venue(STAKING, block)).kind is VenueKind.NONE

    receipt = await at.act(
        at.allocator, guard.address, treasury_guard.encode_allocate(AAVE, 600 * UNIT, 0)
    )
    entered = await guard.venue(AAVE, receipt.block)
    assert entered.booked == 600 * UNIT
    assert await guard.total(receipt.block) == 1_000 * UNIT
    # Counted in whole seconds of the refill, against the one who spends.
    unused = await guard.flow_left(AAVE, receipt.block)
    assert 0 <= venue.flow_max - 600 * UNIT - unused <= venue.flow_max // 86_400
    (allocated,) = treasury_guard.guard_events(receipt.logs, guard.address)
    assert isinstance(allocated, treasury_guard.Allocated)
    assert (allocated.venue, allocated.amount) == (AAVE, 600 * UNIT)
    warp(at.chain.anvil.rpc_url, 30 * DAY_S)
    block = await at.head()
    holding = Holding(HoldingKind.AAVE, guard.address, venue.target)
    (worth,) = await values(at.client, [holding], block)
    assert worth == await guard.position(AAVE, block) > 600 * UNIT

    receipt = await at.act(
        at.allocator, guard.address, treasury_guard.encode_deallocate(AAVE, EVERYTHING)
    )
    (left,) = treasury_guard.guard_events(receipt.logs, guard.address)
    assert isinstance(left, treasury_guard.Deallocated)
    assert left.amount >= worth
    assert await guard.idle(receipt.block) == 400 * UNIT + left.amount

    receipt = await at.act(
        at.allocator, guard.address, treasury_guard.encode_release(TREASURY, 5 * UNIT)
    )
    released = treasury_guard.Released(TREASURY, 5 * UNIT)
    assert treasury_guard.guard_events(receipt.logs, guard.address) == [released]
    assert treasury_guard.guard_events(receipt.logs, at.usdc) == []
    (seen,) = await transfers_in(at.client, receipt.block.number, {TREASURY}, {at.usdc})
    assert (seen.sender, seen.amount, seen.tx_hash) == (guard.address, 5 * UNIT, receipt.tx_hash)


async def test_guard_and_vault(at: Setting) -> None:
    guard = TreasuryGuard(at.client, at.contracts["guard_usdc"])
    vault = Erc4626(at.client, at.chain.world.vault_usdc)
    fund(at, guard.address, 1_000 * UNIT)
    data = treasury_guard.encode_allocate(VAULT, 900 * UNIT, 899 * UNIT)
    receipt = await at.act(at.allocator, guard.address, data)
    state = await vault.state(guard.address, receipt.block)
    assert state.asset == at.usdc
    assert 899 * UNIT <= state.holder_assets <= 900 * UNIT
    stream = await vault.reward_stream(receipt.block)
    assert stream is not None
    assert stream.end_s > receipt.block.timestamp
    before = state.total_assets
    warp(at.chain.anvil.rpc_url, DAY_S)
    block = await at.client.block("latest")
    grown = await vault.state(guard.address, block)
    elapsed = block.timestamp - receipt.block.timestamp
    assert grown.total_assets - before == stream.rate_per_s * elapsed
    holding = Holding(HoldingKind.ERC4626, guard.address, vault.address)
    assert await values(at.client, [holding], block) == [grown.holder_assets]
    assert await vault.value(guard.address, block) == grown.holder_assets
    assert await Erc4626(at.client, at.usdc).reward_stream(block) is None


async def test_guard_and_staking_with_its_queue(at: Setting) -> None:
    guard = TreasuryGuard(at.client, at.contracts["guard_eth"])
    address = at.chain.world.staking
    staking = Staking(at.client, address, address)
    at.chain.anvil.set_balance(guard.address, 10 * ETHER)
    assert await guard.asset(await at.head()) is None
    await at.act(at.allocator, guard.address, treasury_guard.encode_allocate(STAKING, 8 * ETHER, 0))
    data = treasury_guard.encode_deallocate(STAKING, 3 * ETHER)
    receipt = await at.act(at.allocator, guard.address, data)
    (asked,) = treasury_guard.guard_events(receipt.logs, guard.address)
    assert isinstance(asked, treasury_guard.ExitRequested)
    assert asked.amount == 3 * ETHER

    block = receipt.block
    holding = Holding(HoldingKind.STAKING, guard.address, address, STAKING)
    (worth,) = await values(at.client, [holding], block)
    assert worth == await guard.position(STAKING, block)
    assert worth == await staking.balance(guard.address, block) + 3 * ETHER
    state = await staking.state(block)
    assert state.apr_bps > 0
    assert state.reward_reserve > 0
    (exit_,) = await staking.exits([asked.request_id], block)
    assert (exit_.amount, exit_.owner, exit_.finalized) == (3 * ETHER, guard.address, False)
    assert await guard.requested_of(STAKING, asked.request_id, block) == 3 * ETHER

    claim = treasury_guard.encode_claim(STAKING, asked.request_id)
    with pytest.raises(CallReverted):
        await at.client.call(guard.address, claim, block, sender=at.allocator)
    warp(at.chain.anvil.rpc_url, state.withdrawal_delay_s)
    receipt = await at.act(at.allocator, guard.address, claim)
    claimed = treasury_guard.Claimed(STAKING, asked.request_id, 3 * ETHER, 3 * ETHER)
    assert treasury_guard.guard_events(receipt.logs, guard.address) == [claimed]
    native = Holding(HoldingKind.NATIVE, guard.address)
    assert await values(at.client, [native], receipt.block) == [5 * ETHER]
    (exit_,) = await staking.exits([asked.request_id], receipt.block)
    assert (exit_.finalized, exit_.claimed) == (True, True)


async def test_an_anchor(at: Setting) -> None:
    anchor = AuditAnchor(at.client, at.contracts["audit_anchor"])
    block = await at.head()
    assert (await anchor.latest(LOG_ID, block)).seq == 0
    assert await anchor.is_anchorer(LOG_ID, at.allocator, block)
    assert await anchor.owner_of(LOG_ID, block) == checksum(at.chain.anvil.rpc("eth_accounts")[9])
    data = audit_anchor.encode_anchor(LOG_ID, 12, b"\5" * 32, 1_700_000_000, ())
    receipt = await at.act(at.allocator, anchor.address, data)
    found = audit_anchor.anchored(receipt.logs, anchor.address, LOG_ID)
    assert found == audit_anchor.AnchoredCheckpoint(b"\5" * 32, 12, 1_700_000_000, 1)
    assert await anchor.latest(LOG_ID, receipt.block) == found
    assert audit_anchor.anchored(receipt.logs, anchor.address, b"\6" * 32) is None
    assert audit_anchor.anchored(receipt.logs, at.usdc, LOG_ID) is None
    assert (await anchor.latest(LOG_ID, block)).seq == 0  # the past does not change
    assert await anchor.state_of(LOG_ID, receipt.block) is audit_anchor.LogState.OPEN
    send(at.chain.anvil.rpc_url, at.allocator, anchor.address, "freeze(bytes32)", LOG_ID)
    assert await anchor.state_of(LOG_ID, await at.head()) is audit_anchor.LogState.FROZEN


async def test_a_token_sweep_by_delegation(at: Setting) -> None:
    """Type 4 from the gas wallet: a never-used deposit address gives all to the treasury."""
    gas_key, owner_key = keccak(b"gas wallet"), keccak(b"deposit address")
    gas_wallet, wallet = (
        address_from_public_key(public_key(key)) for key in (gas_key, owner_key)
    )
    at.chain.anvil.set_balance(gas_wallet, ETHER)
    fund(at, wallet, 77 * UNIT)
    delegate = Sweeper(at.client, at.contracts["sweeper"])
    assert await delegate.treasury(await at.head()) == TREASURY
    tx = UnsignedTransaction(
        chain_id=31337,
        nonce=0,
        max_priority_fee_per_gas=GWEI,
        max_fee_per_gas=20 * GWEI,
        gas_limit=300_000,
        to=wallet,
        value=0,
        data=sweeper.encode_sweep(at.usdc),
        authorizations=(authorize(owner_key, 31337, delegate.address, 0),),
    )
    raw = tx.assemble(*sign(gas_key, tx.signing_hash())).raw
    receipt = await mined(at.client, await at.client.send_raw(raw))
    assert receipt.status == 1
    assert sweeper.swept(receipt.logs, wallet, at.usdc, TREASURY) == 77 * UNIT
    assert sweeper.swept(receipt.logs, wallet, TREASURY, TREASURY) == 0
    assert sweeper.swept(receipt.logs, TREASURY, at.usdc, TREASURY) == 0
    assert sweeper.swept(receipt.logs, wallet, at.usdc, PAYOUT) == 0
    token = Erc20(at.client, at.usdc)
    assert await token.balance_of(wallet, receipt.block) == 0
    assert await token.balance_of(TREASURY, receipt.block) == 77 * UNIT
    assert await token.decimals(receipt.block) == 6
    balances = await token_balances(at.client, at.usdc, [wallet, TREASURY], receipt.block)
    assert balances == [0, 77 * UNIT]
    code = await at.client.code(wallet, receipt.block)
    assert sweeper.delegate_of(code) == delegate.address


def public_key(key: bytes) -> bytes:
    point: bytes = PrivateKey(key).public_key.format(compressed=False)
    return point

"""The owner Safe alone, with the service switched off, gets everything out of a guard.

Kind: integration (needs scripts/setup_node).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from chains.devnet import outside
from chains.devnet.anvil import REPO
from chains.devnet.artifacts import OUT
from chains.devnet.deploy import UnlockedNode, deploy_installation
from chains.devnet.guards import DELAY_S, Roles, usdc_setup
from chains.devnet.rpc import DevnetError, call_uint, encode_call, send
from chains.devnet.safe import execute, owner_safe
from chains.devnet.scenario import aave
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain, start_chain
from chains.evm.address import checksum
from chains.evm.contracts.guard_setup import venue_id
from chains.evm.deployment import ours
from chains.evm.deployment.placing import Site, place

pytestmark = pytest.mark.chain

USDC, ETHER, DAY_S = 10**6, 10**18, 24 * 3600
LOG_ID = b"\x0c" * 32
EVERYTHING = 2**256 - 1
TREASURY, GUARDIAN = checksum("0x" + "c1" * 20), checksum("0x" + "c2" * 20)
BALANCE = "balanceOf(address)"


@dataclass(frozen=True)
class Bay:
    """An installation whose owner is a Safe of two in three. Nothing of the service runs."""

    chain: DevnetChain
    safe: str
    owners: tuple[str, ...]
    allocator: str
    guards: dict[str, str]

    @property
    def url(self) -> str:
        return self.chain.anvil.rpc_url

    def by_safe(self, guard: str, signature: str, *arguments: object) -> None:
        data = encode_call(signature, *arguments)
        execute(self.url, self.safe, list(self.owners[:2]), guard, data)

    def loosen(self, guard: str, signature: str, *arguments: object) -> None:
        """Propose, wait, execute."""
        proposed = bytes.fromhex(encode_call(signature, *arguments)[2:])
        self.by_safe(guard, "propose(bytes)", proposed)
        with pytest.raises(DevnetError):
            self.by_safe(guard, "execute(bytes)", proposed)
        warp(self.url, DELAY_S)
        self.by_safe(guard, "execute(bytes)", proposed)


@pytest.fixture
def bay() -> Iterator[Bay]:
    chain = start_chain(REPO / ".cache", 31337)
    with chain.anvil:
        url, accounts = chain.anvil.rpc_url, chain.anvil.rpc("eth_accounts")
        people = chain.world.accounts
        owners = tuple(map(checksum, (people.deployer, people.borrower, people.market_admin)))
        safe = owner_safe(url, chain.world)
        assert owner_safe(url, chain.world) == safe
        guards = deploy_installation(
            url,
            chain.world,
            treasury=TREASURY,
            payout="0x" + "c3" * 20,
            allocator=accounts[-1],
            anchorer=accounts[-1],
            owner=safe,
            guardian=GUARDIAN,
            log_id=LOG_ID,
            exchange_deposit_address=None,
        )
        yield Bay(chain, safe, owners, accounts[-1], guards)


def successor_of(bay: Bay) -> str:
    """Another guard of the same limits, with another allocator."""
    world, owner = bay.chain.world, checksum(bay.safe)
    node = UnlockedNode(bay.url, checksum(world.accounts.deployer))
    setup = usdc_setup(world, Roles(owner, GUARDIAN, TREASURY, TREASURY), None)
    placement = ours.treasury_guard("next", setup, LOG_ID)
    site = Site.of(placement, ours.builds(OUT)["TreasuryGuard"])
    place(node, [site])
    return site.address


def test_everything_comes_home_and_goes_to_a_successor(bay: Bay) -> None:
    world, guard = bay.chain.world, bay.guards["guard_usdc"]
    usdc = world.tokens["USDC"].address
    outside.send_usdc(bay.url, world, guard, 1_000 * USDC)
    allocate = "allocate(bytes32,uint256,uint256)"
    for venue in ("aave-usdc", "vault-usdc"):
        send(bay.url, bay.allocator, guard, allocate, venue_id(venue), 400 * USDC, 0)
    warp(bay.url, 30 * DAY_S)

    bay.by_safe(guard, "pause()")
    for venue in ("aave-usdc", "vault-usdc"):
        bay.by_safe(guard, "deallocate(bytes32,uint256)", venue_id(venue), EVERYTHING)
    home = outside.erc20_balance(bay.url, usdc, guard)
    assert home > 1_000 * USDC
    with pytest.raises(DevnetError):
        bay.by_safe(guard, "moveOut(address)", usdc)
    successor = successor_of(bay)
    bay.loosen(guard, "setSuccessor(address)", successor)
    with pytest.raises(DevnetError):
        send(bay.url, bay.allocator, guard, allocate, venue_id("aave-usdc"), USDC, 0)
    bay.by_safe(guard, "moveOut(address)", usdc)
    assert outside.erc20_balance(bay.url, usdc, guard) == 0
    assert call_uint(bay.url, successor, "idle()") == home


def test_a_venue_without_liquidity_goes_in_kind(bay: Bay) -> None:
    """The successor lists the same venue, so the receipts are its position."""
    world, guard = bay.chain.world, bay.guards["guard_usdc"]
    venue, receipts = venue_id("aave-usdc"), world.aave.reserves["USDC"].a_token
    outside.send_usdc(bay.url, world, guard, 1_000 * USDC)
    allocate = "allocate(bytes32,uint256,uint256)"
    send(bay.url, bay.allocator, guard, allocate, venue, 900 * USDC, 0)
    aave.borrow_to_utilisation(bay.url, world, "USDC", 10_000)
    with pytest.raises(DevnetError):
        bay.by_safe(guard, "deallocate(bytes32,uint256)", venue, EVERYTHING)
    successor = successor_of(bay)
    bay.loosen(guard, "setSuccessor(address)", successor)
    bay.by_safe(guard, "moveOut(address)", receipts)
    assert call_uint(bay.url, receipts, BALANCE, guard) <= 1
    assert call_uint(bay.url, successor, "position(bytes32)", venue) >= 900 * USDC - 2


def test_staked_ether_is_asked_back_claimed_and_moved(bay: Bay) -> None:
    guard, venue = bay.guards["guard_eth"], venue_id("staking-eth")
    outside.send_eth(bay.url, guard, 20 * ETHER)
    allocate = "allocate(bytes32,uint256,uint256)"
    send(bay.url, bay.allocator, guard, allocate, venue, 19 * ETHER, 0)
    bay.by_safe(guard, "deallocate(bytes32,uint256)", venue, EVERYTHING)
    bay.loosen(guard, "setSuccessor(address)", TREASURY)
    bay.by_safe(guard, "claim(bytes32,uint256)", venue, 1)
    home = outside.eth_balance(bay.url, guard)
    assert home >= 20 * ETHER - 2
    bay.by_safe(guard, "moveOut(address)", "0x" + "00" * 20)
    assert outside.eth_balance(bay.url, TREASURY) == home
    assert outside.eth_balance(bay.url, guard) == 0

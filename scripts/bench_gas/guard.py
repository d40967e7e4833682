"""What a TreasuryGuard's moves cost on a running Anvil, and what else one could do.

Whole receipts: 21,000, calldata and refunds included. The guard is the one that the demo deploys,
with all its limits set and in use. Overhead is against the same supply by an account with a
standing allowance, in the same block interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from chains.devnet.deploy import deploy_installation
from chains.devnet.rpc import encode_call, rpc, send, submit, wait_receipt
from chains.devnet.safe import create_safe, execute
from chains.devnet.world import World
from chains.evm.contracts import erc20, treasury_guard
from chains.evm.contracts.aave_pool import encode_supply
from chains.evm.contracts.guard_setup import venue_id

AMOUNT = 12_345_678
"""USDC base units of each supply and payment."""
FUNDS = 10**6 * 10**6
ROUNDS = 5
UNLIMITED = 2**256 - 1
APPROVE = "approve(address,uint256)"


@dataclass(frozen=True, slots=True)
class GuardGas:
    """Gas of one transaction. `overhead` is what it costs above the direct supply, or None."""

    name: str
    gas: int
    overhead: int | None = None


def measure_guard(rpc_url: str, world: World) -> list[GuardGas]:
    """Supplies into Aave and payments of USDC: ours, a direct call, a Safe of two in three."""
    accounts = rpc(rpc_url, "eth_accounts")
    allocator, plain = accounts[-2:]
    owners = [world.accounts.deployer, world.accounts.borrower, world.accounts.market_admin]
    treasury = payee = world.accounts.exchange_hot
    contracts = deploy_installation(
        rpc_url,
        world,
        treasury=treasury,
        payout="0x" + "a2" * 20,
        allocator=allocator,
        anchorer=allocator,
        owner=owners[0],
        guardian=owners[1],
        log_id=b"\1" * 32,
        exchange_deposit_address=None,
    )
    guard, usdc, pool = contracts["guard_usdc"], world.tokens["USDC"].address, world.aave.pool
    safe = create_safe(rpc_url, world.safe, plain, owners, 2)
    for holder in (guard, plain, safe, payee):
        send(rpc_url, world.accounts.whale, usdc, "transfer(address,uint256)", holder, FUNDS)
    send(rpc_url, plain, usdc, APPROVE, pool, UNLIMITED)
    execute(rpc_url, safe, owners[:2], usdc, encode_call(APPROVE, pool, UNLIMITED))

    venue = "0x" + venue_id("aave-usdc").hex()
    allocate = treasury_guard.encode_allocate(venue, AMOUNT, AMOUNT * 9 // 10)
    release = treasury_guard.encode_release(payee, AMOUNT)

    def from_safe(to: str, data: bytes) -> int:
        return _gas(execute(rpc_url, safe, owners[:2], to, "0x" + data.hex()))

    def call(sender: str, to: str, data: bytes) -> int:
        return _gas(_sent(rpc_url, sender, to, data))

    direct = _later(lambda: call(plain, pool, encode_supply(usdc, AMOUNT, plain)))
    ours = _later(lambda: call(allocator, guard, allocate))
    by_safe = _later(lambda: from_safe(pool, encode_supply(usdc, AMOUNT, safe)))
    transfer = erc20.erc20_transfer(payee, AMOUNT)
    return [
        GuardGas("supply of USDC into Aave, direct", direct),
        GuardGas("supply of USDC into Aave, guard", ours, ours - direct),
        GuardGas("supply of USDC into Aave, Safe 2/3", by_safe, by_safe - direct),
        GuardGas("payment of USDC, guard", _later(lambda: call(allocator, guard, release))),
        GuardGas("payment of USDC, transfer", _later(lambda: call(plain, usdc, transfer))),
        GuardGas("payment of USDC, Safe 2/3", _later(lambda: from_safe(usdc, transfer))),
    ]


def _later(move: Callable[[], int]) -> int:
    """Of moves after the first, which opens slots of storage."""
    move()
    return int(median(move() for _ in range(ROUNDS)))


def _sent(rpc_url: str, sender: str, to: str, data: bytes) -> dict[str, str]:
    return wait_receipt(rpc_url, submit(rpc_url, sender, to, "0x" + data.hex()))


def _gas(receipt: dict[str, str]) -> int:
    return int(receipt["gasUsed"], 16)
